import type { SharedStore } from './guarded-store.ts';

/** A shared store that cannot be reached for want of a Secret: as if it were away, until another takes its place. */
export class MissingStore implements SharedStore {
  /** Nothing is counted for it, so nothing is lost. */
  readonly dropped = 0;
  readonly #why: Error;

  constructor(why: Error) {
    this.#why = why;
  }

  reserve(): Promise<never> {
    return Promise.reject(this.#why);
  }

  read(): Promise<never> {
    return Promise.reject(this.#why);
  }

  probe(): Promise<never> {
    return Promise.reject(this.#why);
  }

  release(): void {
    // Nothing was reserved.
  }

  settle(): void {
    // Nothing was reserved.
  }

  add(): void {
    // There is nowhere to keep it.
  }

  close(): void {
    // Nothing is open.
  }
}
