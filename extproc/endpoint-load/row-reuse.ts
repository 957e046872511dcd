/** A stretch of time between two retirements of rows, and the reservations made in it that are not over yet. */
export interface Epoch {
  readonly number: number;
  outstanding: number;
  next: Epoch | undefined;
}

/**
 * When the row of an endpoint that is gone may become another's.
 *
 * An exchange remembers rows: its reservation, and the candidates that its retries may reach. Given to another endpoint
 * meanwhile, such a row would be charged with what the old one did. So a row waits until every reservation made before
 * it retired is over. Until then its endpoint may come back to it, with all its counts.
 */
export class RowReuse {
  #current: Epoch = { number: 1, outstanding: 0, next: undefined };
  /** The first epoch with outstanding reservations, else the current one. */
  #oldest: Epoch = this.#current;
  /** Row → number of the last epoch whose reservations may know it, in the order of retirement. */
  readonly #retired = new Map<number, number>();

  /** A reservation begins. The epoch is to be given back to `leave`. */
  enter(): Epoch {
    this.#current.outstanding++;
    return this.#current;
  }

  /** A reservation is over: released and settled. */
  leave(epoch: Epoch): void {
    epoch.outstanding--;
  }

  /** A row in use is listed by nobody any more, and nothing is held on it. */
  retire(row: number): void {
    if (this.#current.outstanding > 0) {
      const next: Epoch = { number: this.#current.number + 1, outstanding: 0, next: undefined };
      this.#current.next = next;
      this.#current = next;
    }
    this.#retired.set(row, this.#current.number - 1);
    this.#forgetPast();
  }

  /** A retired row is in use again; of no effect on one that is not retired. */
  revive(row: number): void {
    this.#retired.delete(row);
  }

  isRetired(row: number): boolean {
    return this.#retired.has(row);
  }

  /** The longest retired row, if nobody can remember it any more. It is then in use. */
  reclaim(): number | undefined {
    this.#forgetPast();
    for (const [row, lastEpoch] of this.#retired) {
      if (lastEpoch >= this.#oldest.number) return undefined;
      this.#retired.delete(row);
      return row;
    }
    return undefined;
  }

  #forgetPast(): void {
    while (this.#oldest.outstanding === 0 && this.#oldest.next !== undefined) this.#oldest = this.#oldest.next;
  }
}
