/** Lets many causes wake one loop: rings that come while nobody waits count as one for the next who does. */
export class Doorbell {
  #rung = Promise.withResolvers<void>();

  ring(): void {
    this.#rung.resolve();
  }

  /** Done at the first ring since the last wait was done. */
  async wait(): Promise<void> {
    await this.#rung.promise;
    this.#rung = Promise.withResolvers<void>();
  }
}
