import { setTimeout as delay } from 'node:timers/promises';
import type { Container } from './container.ts';
import { runHandler } from './handler.ts';
import { MissingObject } from './object-reader.ts';
import type { ContainerSpec, Probe } from './pod-object.ts';
import { runProbe } from './probe.ts';

/** https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/#ContainerState */
export type ContainerState =
  | { readonly waiting: { readonly reason: string; readonly message?: string } }
  | { readonly running: { readonly startedAt: string } }
  | { readonly terminated: Termination };

interface Termination {
  readonly exitCode: number;
  readonly reason: string;
  readonly startedAt: string;
  readonly finishedAt: string;
}

export interface ContainerWorkerOptions {
  readonly spec: ContainerSpec;
  /** Starts the container for the `restarts`th time. @throws Error that says why it cannot be started now */
  readonly start: (restarts: number) => Promise<Container>;
  readonly restart: 'Always' | 'OnFailure' | 'Never';
  readonly podIp: string;
  readonly graceSeconds: number;
  readonly probePeriodScale: number;
  /** The state, or one of `ready` and `started`, is another. */
  readonly onChange: () => void;
}

/** Backoff of restarts, milliseconds: the real kubelet begins with ten seconds. */
const FIRST_BACKOFF_MS = 200;
const MAX_BACKOFF_MS = 3_000;
/** A container that is told to end gets so long at the least, as by the real kubelet. */
const MIN_GRACE_MS = 2_000;

/** Keeps a container running as its restart policy says, probes it, and ends it in order. */
export class ContainerWorker {
  readonly spec: ContainerSpec;
  state: ContainerState = { waiting: { reason: 'PodInitializing' } };
  lastState: ContainerState | undefined;
  restarts = 0;
  ready = false;
  started = false;
  readonly #options: ContainerWorkerOptions;
  readonly #started = Promise.withResolvers<void>();
  readonly #stopping = new AbortController();
  #container: Container | undefined;
  #finished: Promise<void> = Promise.resolve();

  constructor(options: ContainerWorkerOptions) {
    this.spec = options.spec;
    this.#options = options;
  }

  /** Resolves when the container ended for good: its state says how. */
  run(): Promise<void> {
    this.#finished = this.#run();
    return this.#finished;
  }

  /** Resolves when its startup probe, where it has one, succeeded. */
  get untilStarted(): Promise<void> {
    return this.#started.promise;
  }

  /**
   * Ends it: its preStop hook at once, SIGTERM when it is its turn, SIGKILL when `graceOver`; resolves when it is gone.
   * https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#pod-termination
   */
  async stop(graceOver: AbortSignal, turn: Promise<unknown>): Promise<void> {
    this.#stopping.abort();
    if (this.#container) await this.#end(this.#container, graceOver, turn);
    await this.#finished;
  }

  /** Ends it hard. */
  kill(): void {
    this.#stopping.abort();
    this.#container?.signal('SIGKILL');
  }

  /** It ends hard, as when the memory is gone; what comes then is up to the restart policy. */
  crash(): void {
    this.#container?.signal('SIGKILL');
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopping;
    let backoffMs = FIRST_BACKOFF_MS;
    while (!signal.aborted) {
      const exitCode = await this.#runOnce();
      if (exitCode !== undefined && !this.#goesOnAfter(exitCode)) return;
      if (signal.aborted) return;
      if (exitCode !== undefined) {
        this.lastState = this.state;
        this.restarts += 1;
        this.#become({ waiting: { reason: 'CrashLoopBackOff' } });
      }
      await delay(backoffMs, undefined, { signal }).catch(() => undefined);
      backoffMs = Math.min(backoffMs * 2, MAX_BACKOFF_MS);
    }
    if (this.lastState && 'waiting' in this.state) this.#become(this.lastState);
  }

  /** The exit code; undefined when it could not be started. */
  async #runOnce(): Promise<number | undefined> {
    const { start } = this.#options;
    let container: Container;
    try {
      container = await start(this.restarts);
    } catch (error) {
      const reason = error instanceof MissingObject ? 'CreateContainerConfigError' : 'RunContainerError';
      this.#become({ waiting: { reason, message: error instanceof Error ? error.message : String(error) } });
      return undefined;
    }
    this.#container = container;
    const startedAt = now();
    this.#become({ running: { startedAt } });
    const life = new AbortController();
    const probed = this.#hookAndProbe(container, life.signal);
    if (this.#stopping.signal.aborted) container.signal('SIGKILL');
    const { exitCode } = await container.ended;
    this.#container = undefined;
    life.abort();
    await probed;
    this.started = false;
    this.ready = false;
    const reason = exitCode === 0 ? 'Completed' : 'Error';
    this.#become({ terminated: { exitCode, reason, startedAt, finishedAt: now() } });
    return exitCode;
  }

  #goesOnAfter(exitCode: number): boolean {
    const { restart } = this.#options;
    return !this.#stopping.signal.aborted && (restart === 'Always' || (restart === 'OnFailure' && exitCode !== 0));
  }

  async #hookAndProbe(container: Container, life: AbortSignal): Promise<void> {
    const { spec, podIp, probePeriodScale } = this.#options;
    const { startupProbe, livenessProbe, readinessProbe, lifecycle } = spec;
    const target = { spec, container, podIp };
    // Of a pod on its way out, readiness is probed to its end, the others not: as by the real kubelet.
    const alive = AbortSignal.any([life, this.#stopping.signal]);
    if (lifecycle?.postStart && (await runHandler(lifecycle.postStart, target, alive)) !== undefined) {
      await this.#kill(container, undefined);
      return;
    }
    if (startupProbe) {
      const passed = Promise.withResolvers<void>();
      alive.addEventListener('abort', () => passed.resolve());
      const probing = new AbortController();
      const running = runProbe(
        startupProbe,
        target,
        probePeriodScale,
        AbortSignal.any([alive, probing.signal]),
        result => {
          probing.abort();
          if (!result.ok) this.#kill(container, startupProbe);
          else passed.resolve();
        },
      );
      await passed.promise;
      await running;
      if (alive.aborted) return;
    }
    this.started = true;
    this.ready = readinessProbe === undefined;
    this.#started.resolve();
    this.#options.onChange();
    const readiness =
      readinessProbe &&
      runProbe(readinessProbe, target, probePeriodScale, life, ({ ok }) => {
        if (ok === this.ready) return;
        this.ready = ok;
        this.#options.onChange();
      });
    const liveness =
      livenessProbe &&
      runProbe(livenessProbe, target, probePeriodScale, alive, ({ ok }) => {
        if (!ok) this.#kill(container, livenessProbe);
      });
    await Promise.all([readiness, liveness]);
  }

  /** Ends this run of the container; what comes then is up to the restart policy. */
  #kill(container: Container, probe: Probe | undefined): Promise<void> {
    const seconds = probe?.terminationGracePeriodSeconds ?? this.#options.graceSeconds;
    return this.#end(container, AbortSignal.timeout(seconds * 1_000), Promise.resolve());
  }

  async #end(container: Container, graceOver: AbortSignal, turn: Promise<unknown>): Promise<void> {
    const { spec, podIp } = this.#options;
    const over = new Promise<void>(resolve => {
      if (graceOver.aborted) resolve();
      graceOver.addEventListener('abort', () => resolve());
    });
    const { preStop } = spec.lifecycle ?? {};
    if (preStop) await Promise.race([runHandler(preStop, { spec, container, podIp }, graceOver), container.ended]);
    await Promise.race([turn, over, container.ended]);
    container.signal('SIGTERM');
    const leastMs = delay(MIN_GRACE_MS, undefined, { ref: false });
    await Promise.race([container.ended, Promise.all([over, leastMs])]);
    container.signal('SIGKILL');
    await container.ended;
  }

  #become(state: ContainerState): void {
    this.state = state;
    this.#options.onChange();
  }
}

function now(): string {
  return `${new Date().toISOString().slice(0, -5)}Z`;
}
