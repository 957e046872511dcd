/**
 * Who holds which name. The plan gives a name to one holder only; should two have it, the first by its owner's key is
 * found, and the next one when that is gone. Adding and removing cost what the name's holders are, not what all are.
 */
export class Register<T> {
  readonly #holders = new Map<string, readonly T[]>();
  readonly #ownerOf: (holder: T) => string;

  constructor(ownerOf: (holder: T) => string) {
    this.#ownerOf = ownerOf;
  }

  /** Names that somebody holds. */
  get size(): number {
    return this.#holders.size;
  }

  get(name: string): T | undefined {
    return this.#holders.get(name)?.[0];
  }

  /** Every holder of the name, by their owners' keys. */
  all(name: string): readonly T[] {
    return this.#holders.get(name) ?? [];
  }

  add(name: string, holder: T): void {
    const owner = this.#ownerOf(holder);
    const holders = this.all(name);
    const at = holders.findIndex(other => this.#ownerOf(other) > owner);
    this.#holders.set(name, at < 0 ? [...holders, holder] : holders.toSpliced(at, 0, holder));
  }

  /** Whatever of the name this owner holds. */
  remove(name: string, owner: string): void {
    const left = this.all(name).filter(holder => this.#ownerOf(holder) !== owner);
    if (left.length > 0) this.#holders.set(name, left);
    else this.#holders.delete(name);
  }
}
