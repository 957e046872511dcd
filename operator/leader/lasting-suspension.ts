import type { Clock } from './clock.ts';

/** The first doubt, after a suspension began, milliseconds; each further one comes after twice as long. */
const FIRST_DOUBT_MS = 60_000;
/** The last is 31 minutes after: when an API server is away for an hour, agents that reconnect cannot prove who they are. */
const DOUBTS = 5;

/** Raises the doubt, now and then while a suspension lasts, whether it is only we who cannot reach the API server. */
export class LastingSuspension {
  readonly #clock: Clock;
  readonly #onDoubt: () => void;
  #callOff: (() => void) | undefined;

  constructor(clock: Clock, onDoubt: () => void) {
    this.#clock = clock;
    this.#onDoubt = onDoubt;
  }

  /** Told as often as one likes. */
  follow(suspended: boolean): void {
    if (suspended && this.#callOff === undefined) this.#doubtIn(FIRST_DOUBT_MS);
    if (suspended) return;
    this.#callOff?.();
    this.#callOff = undefined;
  }

  #doubtIn(delayMs: number): void {
    this.#callOff = this.#clock.after(delayMs, () => {
      this.#onDoubt();
      if (delayMs < FIRST_DOUBT_MS * 2 ** (DOUBTS - 1)) this.#doubtIn(2 * delayMs);
    });
  }
}
