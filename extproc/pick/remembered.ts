import type { Members } from './priority-group.ts';

/** Choices that a strategy remembers at most; the one first made is forgotten first, and then starts afresh. */
const MAX_REMEMBERED = 10_000;

/**
 * What a strategy remembers from pick to pick, by `Members.key`: it survives every change of the table, and is adapted
 * once to each.
 */
export class Remembered<State extends { readonly members: Members }> {
  readonly #byKey = new Map<string, State>();
  readonly #make: (members: Members) => State;
  readonly #adapt: (state: State, members: Members) => State;

  constructor(make: (members: Members) => State, adapt: (state: State, members: Members) => State) {
    this.#make = make;
    this.#adapt = adapt;
  }

  /** The state for these members, made or adapted where it is not for exactly these. */
  for(members: Members): State {
    const known = this.#byKey.get(members.key);
    if (known?.members === members) return known;
    const state = known === undefined ? this.#make(members) : this.#adapt(known, members);
    if (known === undefined) this.#forgetOne();
    this.#byKey.set(members.key, state);
    return state;
  }

  #forgetOne(): void {
    if (this.#byKey.size < MAX_REMEMBERED) return;
    for (const key of this.#byKey.keys()) {
      this.#byKey.delete(key);
      return;
    }
  }
}
