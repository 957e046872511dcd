/** How long fewer agents must be connected until they count as fewer, milliseconds: a rolling restart takes less for each. */
export const FALL_MS = 60_000;

interface Step {
  readonly agents: number;
  /** When fewer were connected again; Infinity for those that are connected now. */
  readonly endedAtMs: number;
}

/**
 * How many agents share what is limited: the most that were connected at any moment of the last minute, at least 1. So
 * it rises at once, and an agent that restarts lifts nobody's share.
 */
export class FleetSize {
  /** The first is the size; each has fewer agents than the one before and ended later. */
  #steps: readonly Step[] = [{ agents: 0, endedAtMs: Number.POSITIVE_INFINITY }];

  /** So many agents are connected from now on, by a clock that only runs forward. */
  connected(agents: number, nowMs: number): void {
    if (agents === this.#steps.at(-1)?.agents) return;
    const kept = this.#steps
      .filter(step => step.agents > agents && step.endedAtMs + FALL_MS > nowMs)
      .map(step => (step.endedAtMs === Number.POSITIVE_INFINITY ? { agents: step.agents, endedAtMs: nowMs } : step));
    this.#steps = [...kept, { agents, endedAtMs: Number.POSITIVE_INFINITY }];
  }

  /** The size at a moment that is not before the last change. */
  at(nowMs: number): number {
    const largest = this.#steps.find(({ endedAtMs }) => endedAtMs + FALL_MS > nowMs);
    return Math.max(1, largest?.agents ?? 0);
  }

  /** When it will be another than at `nowMs` unless agents come; Infinity for never. */
  fallsAtMs(nowMs: number): number {
    const largest = this.#steps.find(({ endedAtMs }) => endedAtMs + FALL_MS > nowMs);
    return (largest?.endedAtMs ?? Number.POSITIVE_INFINITY) + FALL_MS;
  }
}
