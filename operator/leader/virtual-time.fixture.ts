import type { Clock } from './clock.ts';

interface Alarm {
  readonly atMs: number;
  readonly call: () => void;
}

/** Time that passes only when a test says so, for everything that asks a clock of it. */
export class VirtualTime {
  nowMs = 0;
  readonly #alarms = new Set<Alarm>();

  /** A clock that runs `rate` times as fast, from somewhere else. It rings no more once `dead` says so. */
  clock(rate: number, offsetMs: number, dead: () => boolean = () => false): Clock {
    return {
      nowMs: () => offsetMs + this.nowMs * rate,
      after: (delayMs, call) => this.at(this.nowMs + delayMs / rate, () => dead() || call()),
    };
  }

  /** Returns what calls it off. */
  at(atMs: number, call: () => void): () => void {
    const alarm = { atMs: Math.max(atMs, this.nowMs), call };
    this.#alarms.add(alarm);
    return () => this.#alarms.delete(alarm);
  }

  /** Lets everything happen until then, in order; `each` is called after all that one moment brought. */
  async run(untilMs: number, each: () => void = () => {}): Promise<void> {
    // Promises that need no time are kept first, and again after every alarm.
    await settled();
    for (let next = this.#next(); next !== undefined && next.atMs <= untilMs; next = this.#next()) {
      this.#alarms.delete(next);
      this.nowMs = next.atMs;
      next.call();
      await settled();
      each();
    }
    this.nowMs = untilMs;
  }

  #next(): Alarm | undefined {
    let first: Alarm | undefined;
    for (const alarm of this.#alarms) if (first === undefined || alarm.atMs < first.atMs) first = alarm;
    return first;
  }
}

function settled(): Promise<void> {
  return new Promise(resolve => setImmediate(resolve));
}
