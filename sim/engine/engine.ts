import { BLOCK_TOKENS, KvCache } from './kv-cache.ts';
import { type StepCoefficients, stepMs } from './step-model.ts';

export interface EngineConfig {
  readonly coefficients: StepCoefficients;
  readonly kvTokens: number;
  /** Sequences that may run at once (vLLM's max_num_seqs). */
  readonly maxSequences: number;
  /** Tokens that one step may compute (vLLM's max_num_batched_tokens). */
  readonly tokenBudget: number;
}

/** A request inside the engine. Its owner only reads it. */
export interface Sequence {
  readonly promptTokens: number;
  readonly outputTokens: number;
  readonly generated: number;
  readonly state: 'waiting' | 'running' | 'finished' | 'aborted';
}

/** What a step gave one sequence. */
export interface Emission {
  readonly sequence: Sequence;
  /** 1, or 0 for a prompt that asked for no output (embeddings). */
  readonly tokens: number;
  readonly finished: boolean;
}

interface Running extends Sequence {
  generated: number;
  state: Sequence['state'];
  /** Tokens of prompt and output whose KV is held. */
  computed: number;
  blocks: number;
}

interface Scheduled {
  readonly sequence: Running;
  readonly tokens: number;
}

/**
 * vLLM V1's scheduler over the step model, in virtual time (routing.md 3.3): continuous batching under a token
 * budget with chunked prefill, waiting first come first served, a KV limit that preempts the youngest runner.
 * Pure: it knows no clock. Whoever drives it calls `beginStep`, lets the time pass that this names, calls `endStep`.
 */
export class Engine {
  readonly config: EngineConfig;
  readonly #kv: KvCache;
  #waiting: Running[] = [];
  #running: Running[] = [];
  #step: Scheduled[] | undefined;
  #preemptions = 0;

  /** @throws RangeError where a limit is so small that nothing could ever run */
  constructor(config: EngineConfig) {
    this.#kv = new KvCache(config.kvTokens);
    if (this.#kv.totalBlocks < 1) throw new RangeError(`kvTokens must be at least ${BLOCK_TOKENS}`);
    if (config.maxSequences < 1) throw new RangeError('maxSequences must be at least 1');
    if (config.tokenBudget < 1) throw new RangeError('tokenBudget must be at least 1');
    this.config = config;
  }

  get waiting(): number {
    return this.#waiting.length;
  }
  get running(): number {
    return this.#running.length;
  }
  get preemptions(): number {
    return this.#preemptions;
  }
  get kvBlocks(): { readonly used: number; readonly total: number } {
    return { used: this.#kv.usedBlocks, total: this.#kv.totalBlocks };
  }
  /** The longest sequence, prompt and output together, that the KV cache can hold. */
  get maxSequenceTokens(): number {
    return this.#kv.totalBlocks * BLOCK_TOKENS;
  }

  /**
   * A request arrives; it is considered from the next step on.
   *
   * @throws RangeError when it could never fit, which is for the caller to refuse
   */
  add(promptTokens: number, outputTokens: number): Sequence {
    if (promptTokens < 1 || promptTokens + outputTokens > this.maxSequenceTokens) {
      throw new RangeError(`${promptTokens}+${outputTokens} tokens do not fit ${this.maxSequenceTokens}`);
    }
    const sequence: Running = { promptTokens, outputTokens, generated: 0, state: 'waiting', computed: 0, blocks: 0 };
    this.#waiting.push(sequence);
    return sequence;
  }

  /** The client went away: the sequence and its KV are gone at once. Nothing happens when it had ended. */
  abort(sequence: Sequence): void {
    if (sequence.state !== 'waiting' && sequence.state !== 'running') return;
    this.#remove(sequence as Running, 'aborted');
  }

  /**
   * Schedules the next step.
   *
   * @returns how long it takes, or undefined when there is nothing to do
   */
  beginStep(): { readonly durationMs: number } | undefined {
    if (this.#step) throw new Error('the step before has not ended');
    const scheduled = this.#schedule();
    if (scheduled.length === 0) return undefined;
    this.#step = scheduled;
    return { durationMs: this.#duration(scheduled) };
  }

  /** The step's time has passed: what each sequence got, in the order in which they were scheduled. */
  endStep(): Emission[] {
    if (!this.#step) throw new Error('no step has begun');
    const emissions: Emission[] = [];
    for (const { sequence, tokens } of this.#step) {
      // Aborted while the step ran.
      if (sequence.state !== 'running') continue;
      sequence.computed += tokens;
      if (sequence.computed < sequence.promptTokens + sequence.generated) continue;
      const emitted = sequence.outputTokens > 0 ? 1 : 0;
      sequence.generated += emitted;
      const finished = sequence.generated >= sequence.outputTokens;
      if (finished) this.#remove(sequence, 'finished');
      emissions.push({ sequence, tokens: emitted, finished });
    }
    this.#step = undefined;
    return emissions;
  }

  #schedule(): Scheduled[] {
    const preemptionsBefore = this.#preemptions;
    const scheduled = this.#scheduleRunning();
    // As vLLM does: a step that had to preempt admits nobody.
    if (this.#preemptions === preemptionsBefore) this.#admitWaiting(scheduled);
    return scheduled;
  }

  #scheduleRunning(): Scheduled[] {
    const scheduled: Scheduled[] = [];
    let budget = this.config.tokenBudget;
    for (let index = 0; index < this.#running.length && budget > 0; index++) {
      const sequence = this.#running[index];
      if (!sequence) break;
      const tokens = Math.min(missingTokens(sequence), budget);
      if (!this.#makeRoom(sequence, sequence.computed + tokens)) break;
      scheduled.push({ sequence, tokens });
      budget -= tokens;
    }
    return scheduled;
  }

  /** Preempts the youngest runners until `sequence` can hold `tokens`; false when it was itself the youngest. */
  #makeRoom(sequence: Running, tokens: number): boolean {
    while (!this.#kv.grow(sequence, tokens)) {
      const victim = this.#running.pop();
      if (!victim) return false;
      this.#preempt(victim);
      if (victim === sequence) return false;
    }
    return true;
  }

  /** Its KV is dropped and computed again later, the generated tokens included: they have been sent. */
  #preempt(victim: Running): void {
    this.#kv.free(victim);
    victim.computed = 0;
    victim.state = 'waiting';
    this.#waiting.unshift(victim);
    this.#preemptions++;
  }

  #admitWaiting(scheduled: Scheduled[]): void {
    let budget = this.config.tokenBudget;
    for (const { tokens } of scheduled) budget -= tokens;
    while (budget > 0 && this.#running.length < this.config.maxSequences) {
      const sequence = this.#waiting[0];
      if (!sequence) return;
      const tokens = Math.min(missingTokens(sequence), budget);
      if (!this.#kv.grow(sequence, tokens)) return;
      this.#waiting.shift();
      sequence.state = 'running';
      this.#running.push(sequence);
      scheduled.push({ sequence, tokens });
      budget -= tokens;
    }
  }

  #duration(scheduled: readonly Scheduled[]): number {
    let decodeContextTokens = 0;
    let prefillTokens = 0;
    let prefillPairs = 0;
    for (const { sequence, tokens } of scheduled) {
      if (sequence.generated > 0 && tokens === 1) {
        decodeContextTokens += sequence.computed;
      } else {
        prefillTokens += tokens;
        prefillPairs += tokens * (sequence.computed + tokens / 2);
      }
    }
    const work = { sequences: scheduled.length, decodeContextTokens, prefillTokens, prefillPairs };
    return stepMs(this.config.coefficients, work);
  }

  #remove(sequence: Running, state: 'finished' | 'aborted'): void {
    const list = sequence.state === 'waiting' ? this.#waiting : this.#running;
    list.splice(list.indexOf(sequence), 1);
    this.#kv.free(sequence);
    sequence.state = state;
  }
}

/** Tokens whose KV is not there yet: a prompt's remainder, or the one that was generated last. */
function missingTokens(sequence: Running): number {
  return sequence.promptTokens + sequence.generated - sequence.computed;
}
