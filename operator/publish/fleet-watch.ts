import { FleetSize } from './fleet-size.ts';

/** What several agents that connect at once have in common, as after a change of leader: one change, milliseconds. */
const GATHER_MS = 20;

/** Tells of the size of the fleet while agents come and go. Keeps no process alive. */
export class FleetWatch {
  readonly #size = new FleetSize();
  readonly #onSize: (agents: number) => void;
  #told = 1;
  #timer: NodeJS.Timeout | undefined;
  /** When it is over; Infinity while there is none. */
  #timerAtMs = Number.POSITIVE_INFINITY;

  /** `onSize` is told every size but the first, which is 1. */
  constructor(onSize: (agents: number) => void) {
    this.#onSize = onSize;
  }

  /** So many agents are connected from now on. */
  connected(agents: number): void {
    this.#size.connected(agents, performance.now());
    this.#lookIn(GATHER_MS);
  }

  #lookIn(delayMs: number): void {
    // Agents that go on coming do not put off what is to be told of those before.
    const atMs = performance.now() + delayMs;
    if (atMs >= this.#timerAtMs) return;
    clearTimeout(this.#timer);
    this.#timerAtMs = atMs;
    this.#timer = setTimeout(() => {
      this.#timerAtMs = Number.POSITIVE_INFINITY;
      this.#look(performance.now());
    }, delayMs).unref();
  }

  #look(nowMs: number): void {
    const agents = this.#size.at(nowMs);
    const fallsAtMs = this.#size.fallsAtMs(nowMs);
    if (fallsAtMs < Number.POSITIVE_INFINITY) this.#lookIn(Math.ceil(fallsAtMs - nowMs));
    if (agents === this.#told) return;
    this.#told = agents;
    this.#onSize(agents);
  }
}
