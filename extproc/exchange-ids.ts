import { randomBytes } from 'node:crypto';

/** 48 bits: the few processes whose records may meet do not share them. */
const PREFIX_BYTES = 6;

/** Ids of one process's exchanges. Those of another differ: an access record may come to the process that replaced its own. */
export class ExchangeIds {
  readonly #prefix = `${randomBytes(PREFIX_BYTES).toString('base64url')}-`;
  #made = 0;

  readonly next = (): string => this.#prefix + (++this.#made).toString(36);

  /** Whether the id was made here. */
  readonly isOwn = (id: string): boolean => id.startsWith(this.#prefix);
}
