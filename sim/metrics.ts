import { Counter, Gauge, Registry } from 'prom-client';
import type { Engine } from './engine/engine.ts';
import { BLOCK_TOKENS } from './engine/kv-cache.ts';

/** How a request ended, in vLLM's words. */
export type FinishedReason = 'stop' | 'length' | 'abort';

/** What a vLLM server shows at /metrics, under its names; `model_name` is the first served one. */
export class PodMetrics {
  readonly #registry = new Registry();
  readonly #promptTokens: Counter;
  readonly #generationTokens: Counter;
  readonly #requests: Counter<'finished_reason'>;

  constructor(engine: Engine, modelName: string) {
    const registers = [this.#registry];
    this.#registry.setDefaultLabels({ model_name: modelName, engine: '0' });
    const gauge = (name: string, help: string, read: () => number) => {
      const collect = function (this: Gauge) {
        this.set(read());
      };
      new Gauge({ name, help, registers, collect });
    };
    const usage = () => engine.kvBlocks.used / engine.kvBlocks.total;
    gauge('vllm:num_requests_running', 'Requests in the batch.', () => engine.running);
    gauge('vllm:num_requests_waiting', 'Requests waiting to be scheduled.', () => engine.waiting);
    gauge('vllm:kv_cache_usage_perc', 'Share of the KV cache in use; 1 is full.', usage);
    gauge('vllm:gpu_cache_usage_perc', 'The same under its name before vLLM 0.10.', usage);
    const info = { block_size: String(BLOCK_TOKENS), num_gpu_blocks: String(engine.kvBlocks.total) };
    new Gauge({
      name: 'vllm:cache_config_info',
      help: 'Shape of the KV cache.',
      labelNames: Object.keys(info),
      registers,
    }).set(info, 1);
    const preemptions = new Counter({
      name: 'vllm:num_preemptions_total',
      help: 'Sequences thrown out of the KV cache.',
      registers,
      collect() {
        this.reset();
        this.inc(engine.preemptions);
      },
    });
    preemptions.inc(0);
    this.#promptTokens = new Counter({ name: 'vllm:prompt_tokens_total', help: 'Prompt tokens read.', registers });
    this.#generationTokens = new Counter({
      name: 'vllm:generation_tokens_total',
      help: 'Tokens generated.',
      registers,
    });
    this.#requests = new Counter({
      name: 'vllm:request_success_total',
      help: 'Requests ended, by how.',
      labelNames: ['finished_reason'],
      registers,
    });
    for (const finished_reason of ['stop', 'length', 'abort']) this.#requests.inc({ finished_reason }, 0);
  }

  promptRead(tokens: number): void {
    this.#promptTokens.inc(tokens);
  }
  generated(tokens: number): void {
    this.#generationTokens.inc(tokens);
  }
  ended(reason: FinishedReason): void {
    this.#requests.inc({ finished_reason: reason });
  }

  /** The exposition and its content type. */
  async exposition(): Promise<{ readonly contentType: string; readonly text: string }> {
    return { contentType: this.#registry.contentType, text: await this.#registry.metrics() };
  }
}
