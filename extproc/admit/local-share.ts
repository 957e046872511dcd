/**
 * What one of several agents, each of which counts for itself, may let pass of a limit: together never more than the
 * limit, unless that is below their number. At least 1, as a caller who meets any of them is to be served at all; 0
 * stays 0, and Infinity stays.
 */
export function sharedLimit(limit: number, agents: number): number {
  return limit < 1 ? limit : Math.max(1, Math.floor(limit / agents));
}

/** A control plane that has just restarted counts its agents from 1 up: so long it is not believed that there are fewer. */
const REMEMBERED_MS = 120_000;

/** How many agents share the limits: the highest number told that was in force in the last two minutes; at least 1. */
export class AgentCount {
  /** In force now, and what was in force before and is higher: numbers and their ends ascend towards it. */
  #latest = 1;
  readonly #earlier: { readonly agents: number; readonly untilMs: number }[] = [];

  /** The control plane told a number. Times are of one clock that never goes back. */
  tell(agents: number, nowMs: number): void {
    const next = Math.max(1, agents);
    if (next < this.#latest) this.#earlier.push({ agents: this.#latest, untilMs: nowMs + REMEMBERED_MS });
    while ((this.#earlier.at(-1)?.agents ?? next + 1) <= next) this.#earlier.pop();
    this.#latest = next;
  }

  at(nowMs: number): number {
    while ((this.#earlier[0]?.untilMs ?? nowMs + 1) <= nowMs) this.#earlier.shift();
    return this.#earlier[0]?.agents ?? this.#latest;
  }
}
