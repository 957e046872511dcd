import { Engine } from './engine/engine.ts';
import { EngineClock } from './engine/engine-clock.ts';
import { GPU_PROFILES, type GpuName, type GpuProfile } from './engine/step-model.ts';
import { type Fault, FaultQueue } from './faults.ts';
import { answerRequest } from './http/front.ts';
import { Listener } from './listener.ts';
import { PodMetrics } from './metrics.ts';
import { type RecordedRequest, Recorder } from './recorder.ts';

/** A pod to simulate. Only the models have no default. */
export interface PodSpec {
  readonly name: string;
  /** Default 127.0.0.1. */
  readonly address?: string | undefined;
  /** 0, the default, takes any free one. */
  readonly port?: number | undefined;
  /** Served names; the first is the one meant by requests that name none. */
  readonly models: readonly [string, ...string[]];
  /** How fast it is: a known GPU or one's own coefficients. Default h100. */
  readonly gpu?: GpuName | GpuProfile | undefined;
  /** Engine milliseconds per millisecond: 10 is ten times faster than the GPU. Default 1. */
  readonly timeScale?: number | undefined;
  /** Default: what the GPU holds. */
  readonly kvTokens?: number | undefined;
  /** Prompt and output together; default 131072, and never more than the KV cache holds. */
  readonly maxModelTokens?: number | undefined;
  /** Sequences at once, default 256. */
  readonly maxSequences?: number | undefined;
  /** Tokens that one step may compute, default 8192. */
  readonly tokenBudget?: number | undefined;
  /** Of the answers' words and lengths, default 1. */
  readonly seed?: number | undefined;
  /** Idle connections are closed after this; default 5000 as uvicorn does. */
  readonly idleCloseMs?: number | undefined;
  /** Requests remembered at least, default 1000. */
  readonly rememberedRequests?: number | undefined;
}

const MAX_MODEL_TOKENS = 131_072;

/** What the engine is doing now. */
export interface PodLoad {
  readonly running: number;
  readonly waiting: number;
  /** KV blocks of 16 tokens. */
  readonly kvBlocks: { readonly used: number; readonly total: number };
  readonly preemptions: number;
}

/** A vLLM server that only pretends to compute: its HTTP, its timing and its metrics. */
export class SimPod implements AsyncDisposable {
  readonly name: string;
  readonly models: readonly string[];
  readonly #clock: EngineClock;
  readonly #recorder: Recorder;
  readonly #faults: FaultQueue;
  readonly #listener: Listener;

  /** @internal made by `startPod` */
  constructor(
    spec: PodSpec,
    parts: { clock: EngineClock; recorder: Recorder; faults: FaultQueue; listener: Listener },
  ) {
    this.name = spec.name;
    this.models = spec.models;
    this.#clock = parts.clock;
    this.#recorder = parts.recorder;
    this.#faults = parts.faults;
    this.#listener = parts.listener;
  }

  get address(): string {
    return this.#listener.address;
  }
  get port(): number {
    return this.#listener.port;
  }
  /** `address:port`. */
  get endpoint(): string {
    return `${this.address}:${this.port}`;
  }
  /** `http://address:port`, without a path. */
  get url(): string {
    return `http://${this.endpoint}`;
  }
  /** The last requests that reached the pod whole, oldest first. */
  get requests(): readonly RecordedRequest[] {
    return this.#recorder.requests;
  }
  get load(): PodLoad {
    const { running, waiting, kvBlocks, preemptions } = this.#clock.engine;
    return { running, waiting, kvBlocks, preemptions };
  }

  /** Makes the pod fail from now on, after the faults that were ordered before. */
  fault(fault: Fault): void {
    if (fault.kind === 'refuse') this.#listener.refuse(fault.dropConnections ?? false);
    else this.#faults.add(fault);
  }

  /**
   * Lifts all faults; what they have done to requests stays done.
   *
   * @throws Error when it had to listen again and another process took its place
   */
  async clearFaults(): Promise<void> {
    this.#faults.clear();
    await this.#listener.accept();
  }

  /** Takes no new request, finishes those that it has, and is gone. */
  async drain(): Promise<void> {
    await this.#listener.drain();
    this.#clock.stop();
  }

  /** Resets all connections and is gone. */
  async close(): Promise<void> {
    this.#clock.stop();
    await this.#listener.close();
  }
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

/**
 * Starts a pod; it listens when the promise resolves.
 *
 * @param signal closes it
 * @throws Error that says what to do, when the address cannot be had; RangeError for limits that make no sense
 */
export async function startPod(spec: PodSpec, { signal }: { signal?: AbortSignal } = {}): Promise<SimPod> {
  signal?.throwIfAborted();
  const gpu = typeof spec.gpu === 'object' ? spec.gpu : GPU_PROFILES[spec.gpu ?? 'h100'];
  const engine = new Engine({
    coefficients: gpu,
    kvTokens: spec.kvTokens ?? gpu.kvTokens,
    maxSequences: spec.maxSequences ?? 256,
    tokenBudget: spec.tokenBudget ?? 8192,
  });
  const clock = new EngineClock(engine, spec.timeScale ?? 1);
  const recorder = new Recorder(spec.rememberedRequests ?? 1000);
  const faults = new FaultQueue();
  const inference = {
    pod: spec.name,
    models: spec.models,
    seed: spec.seed ?? 1,
    maxModelTokens: Math.min(spec.maxModelTokens ?? MAX_MODEL_TOKENS, engine.maxSequenceTokens),
    clock,
    metrics: new PodMetrics(engine, spec.models[0]),
  };
  const listener = await Listener.open(
    (request, response) => void answerRequest(request, response, { inference, recorder, faults }),
    { address: spec.address ?? '127.0.0.1', port: spec.port ?? 0 },
    spec.idleCloseMs ?? 5000,
  );
  const pod = new SimPod(spec, { clock, recorder, faults, listener });
  signal?.addEventListener('abort', () => void pod.close(), { once: true });
  return pod;
}

/** Starts several pods, or none: when one cannot start, those that did are closed again. */
export async function startPods(specs: readonly PodSpec[], options: { signal?: AbortSignal } = {}): Promise<SimPod[]> {
  const results = await Promise.allSettled(specs.map(spec => startPod(spec, options)));
  const failure = results.find(result => result.status === 'rejected');
  const pods = results.flatMap(result => (result.status === 'fulfilled' ? [result.value] : []));
  if (failure) {
    await Promise.all(pods.map(pod => pod.close()));
    throw failure.reason;
  }
  return pods;
}
