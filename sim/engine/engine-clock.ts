import type { Emission, Engine, Sequence } from './engine.ts';

/** What a sequence has received since it was told last. */
export interface Delta {
  readonly tokens: number;
  readonly finished: boolean;
}

/**
 * Steps run in one turn of the event loop at most. Where the machine cannot keep up with the time scale, time slips
 * instead of the loop starving.
 */
const MAX_STEPS_A_TURN = 64;

/**
 * Drives an engine in real time: one timer, set to the end of the step that is running. When the timer comes late,
 * or the time scale makes steps shorter than the timer can measure, all steps that have ended by then are run and
 * each sequence hears of their tokens at once, as vLLM's output queue merges what its reader was too slow for.
 */
export class EngineClock {
  readonly engine: Engine;
  readonly #timeScale: number;
  readonly #listeners = new Map<Sequence, (delta: Delta) => void>();
  #timer: NodeJS.Timeout | undefined;
  /** When the running step ends, milliseconds of performance.now(). */
  #stepEndsMs = 0;

  /** @param timeScale engine milliseconds per millisecond: 10 is ten times faster than the GPU */
  constructor(engine: Engine, timeScale: number) {
    this.engine = engine;
    this.#timeScale = timeScale;
  }

  /** Hands a request to the engine; `listener` hears of its tokens, in turns of their own, never during this call. */
  submit(promptTokens: number, outputTokens: number, listener: (delta: Delta) => void): Sequence {
    const sequence = this.engine.add(promptTokens, outputTokens);
    this.#listeners.set(sequence, listener);
    if (!this.#timer) {
      this.#stepEndsMs = performance.now();
      if (this.#begin()) this.#arm();
    }
    return sequence;
  }

  /** The listener hears nothing any more. */
  abort(sequence: Sequence): void {
    this.#listeners.delete(sequence);
    this.engine.abort(sequence);
  }

  /** Aborts everything, for good. */
  stop(): void {
    clearTimeout(this.#timer);
    for (const sequence of [...this.#listeners.keys()]) this.abort(sequence);
  }

  /** Begins a step at the end of the last; false when the engine is idle. */
  #begin(): boolean {
    const step = this.engine.beginStep();
    if (step) this.#stepEndsMs += step.durationMs / this.#timeScale;
    return step !== undefined;
  }

  #arm(): void {
    this.#timer = setTimeout(() => this.#turn(), Math.max(0, this.#stepEndsMs - performance.now()));
  }

  #turn(): void {
    this.#timer = undefined;
    const deltas = new Map<Sequence, Delta>();
    const nowMs = performance.now();
    let busy = true;
    let steps = 0;
    while (busy && this.#stepEndsMs <= nowMs && steps < MAX_STEPS_A_TURN) {
      merge(deltas, this.engine.endStep());
      busy = this.#begin();
      steps++;
    }
    if (steps === MAX_STEPS_A_TURN) this.#stepEndsMs = Math.max(this.#stepEndsMs, nowMs);
    if (busy) this.#arm();
    for (const [sequence, delta] of deltas) this.#tell(sequence, delta);
  }

  #tell(sequence: Sequence, delta: Delta): void {
    const listener = this.#listeners.get(sequence);
    if (delta.finished) this.#listeners.delete(sequence);
    listener?.(delta);
  }
}

function merge(deltas: Map<Sequence, Delta>, emissions: readonly Emission[]): void {
  for (const { sequence, tokens, finished } of emissions) {
    deltas.set(sequence, { tokens: (deltas.get(sequence)?.tokens ?? 0) + tokens, finished });
  }
}
