import { chmodSync, mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { ApiConnection } from '../../../operator/api/api-connection.ts';
import { Container } from './container.ts';
import { ContainerWorker } from './container-worker.ts';
import type { PodFacts } from './downward.ts';
import { containerEnv, expand } from './env.ts';
import { EtcFiles } from './etc-files.ts';
import { commandLine, findImage, type Images } from './image.ts';
import { ObjectReader } from './object-reader.ts';
import type { ContainerSpec, PodObject } from './pod-object.ts';
import { exitCodeOf, isSidecar, type PodProgress } from './pod-status.ts';
import { Sandbox } from './sandbox.ts';
import type { Service, Slice } from './service.ts';
import { StatusWriter } from './status-writer.ts';
import { Volumes } from './volumes.ts';

/** What a pod finds on its node. */
export interface PodSurroundings {
  readonly api: ApiConnection;
  /** In memory: volumes, what containers write, logs. */
  readonly directory: string;
  readonly images: Images;
  readonly nodeIp: string;
  readonly allocatable: Readonly<Record<string, string>>;
  readonly probePeriodScale: number;
  readonly services: () => Iterable<Service>;
  readonly slices: () => Iterable<Slice>;
}

const RETRY_MS = 300;
/** What a pod gets whose object is gone already, as by the real kubelet. */
const GONE_GRACE_SECONDS = 1;

/** The life of one pod on its node, from its binding to its end. */
export class PodWorker {
  readonly #surroundings: PodSurroundings;
  readonly #address: string;
  readonly #reader: ObjectReader;
  readonly #directory: string;
  readonly #volumes: Volumes;
  readonly #etc: EtcFiles;
  readonly #status: StatusWriter;
  readonly #init: readonly ContainerWorker[];
  readonly #main: readonly ContainerWorker[];
  /** Aborted when the pod is to end. */
  readonly #ending = new AbortController();
  readonly #graceOver = new AbortController();
  #graceTimer: NodeJS.Timeout | undefined;
  #graceEndMs = Number.POSITIVE_INFINITY;
  #pod: PodObject;
  #gone = false;
  #sandbox: Sandbox | undefined;
  #initialized = false;
  #phase: PodProgress['phase'] = 'Pending';
  #problem: string | undefined;
  #projecting: Promise<unknown> = Promise.resolve();
  #projectTimer: NodeJS.Timeout | undefined;
  /** Resolves when nothing of the pod is left but its logs. */
  readonly finished: Promise<void>;

  constructor(pod: PodObject, address: string, surroundings: PodSurroundings) {
    const { namespace, name, uid } = pod.metadata;
    const { initContainers = [], containers, volumes = [] } = pod.spec;
    this.#pod = pod;
    this.#address = address;
    this.#surroundings = surroundings;
    this.#reader = new ObjectReader(surroundings.api);
    this.#directory = join(surroundings.directory, 'pods', uid);
    this.#volumes = new Volumes(join(this.#directory, 'volumes'), volumes, this.#reader);
    this.#etc = new EtcFiles(join(this.#directory, 'etc'), pod, address);
    this.#status = new StatusWriter(surroundings.api, pod, surroundings.nodeIp);
    mkdirSync(logDirectory(surroundings.directory, namespace, name), { recursive: true });
    this.#init = initContainers.map(spec => this.#worker(spec, true));
    this.#main = containers.map(spec => this.#worker(spec, false));
    this.finished = this.#live();
  }

  /** The pod's object changed. */
  update(pod: PodObject): void {
    const before = this.#pod;
    this.#pod = pod;
    const { deletionTimestamp, deletionGracePeriodSeconds = 0 } = pod.metadata;
    if (deletionTimestamp !== undefined) {
      // The timestamp is when the grace ends, in whole seconds: count from now on the first time that we hear of it.
      if (before.metadata.deletionGracePeriodSeconds !== deletionGracePeriodSeconds || !this.#ending.signal.aborted) {
        this.#end(deletionGracePeriodSeconds);
      }
    }
    if (this.#volumesTellOf(before, pod)) this.#project();
    this.#report();
  }

  /** The pod's object is gone: what still runs is ended. */
  remove(): void {
    this.#gone = true;
    this.#status.stop();
    this.#end(GONE_GRACE_SECONDS);
  }

  /** Ends its processes and tells nobody; resolves when they are gone. */
  async abandon(): Promise<void> {
    this.remove();
    this.#graceOver.abort();
    for (const worker of [...this.#init, ...this.#main]) worker.kill();
    await this.finished;
  }

  /** Of its namespace, this object of kind "configmaps" or "secrets". */
  objectChanged(kind: string, name: string): void {
    if (this.#volumes.references.has(`${kind}/${name}`)) this.#project();
  }

  servicesChanged(): void {
    this.#etc.write(this.#surroundings.services(), this.#surroundings.slices());
  }

  get namespace(): string {
    return this.#pod.metadata.namespace;
  }

  get name(): string {
    return this.#pod.metadata.name;
  }

  /** Ends a container hard, as when it ran out of memory. @throws Error when the pod has none of this name */
  crash(container: string): void {
    const worker = [...this.#init, ...this.#main].find(({ spec }) => spec.name === container);
    if (worker === undefined) throw new Error(`pod ${this.name} has no container ${container}`);
    worker.crash();
  }

  async #live(): Promise<void> {
    const { signal } = this.#ending;
    const { phase } = this.#pod.status;
    // One that ended before there was a kubelet to see it.
    if (phase === 'Succeeded' || phase === 'Failed') return;
    if (this.#pod.metadata.deletionTimestamp !== undefined)
      this.#end(this.#pod.metadata.deletionGracePeriodSeconds ?? 0);
    try {
      await this.#prepare();
      const initialized = await this.#initialize();
      if (initialized && !signal.aborted) await this.#runMain();
      await this.#stopContainers();
      const codes = [...this.#main, ...this.#init.filter(worker => !isSidecar(worker))].map(({ state }) =>
        exitCodeOf(state),
      );
      this.#phase = codes.every(code => code === 0) ? 'Succeeded' : 'Failed';
    } catch (error) {
      this.#phase = 'Failed';
      this.#problem = String(error);
      await this.#stopContainers();
    }
    clearTimeout(this.#graceTimer);
    clearTimeout(this.#projectTimer);
    await this.#projecting;
    this.#sandbox?.stop();
    this.#report();
    if (!signal.aborted) await new Promise<void>(resolve => signal.addEventListener('abort', () => resolve()));
    clearTimeout(this.#graceTimer);
    if (!this.#gone) await this.#status.finish();
    rmSync(this.#directory, { recursive: true, force: true });
  }

  /** Network and volumes: the latter as soon as all that they are made of is there. */
  async #prepare(): Promise<void> {
    const { signal } = this.#ending;
    this.#report();
    this.servicesChanged();
    this.#sandbox = await Sandbox.start(this.#address);
    while (!signal.aborted) {
      this.#problem = await this.#project();
      if (this.#problem === undefined) break;
      this.#report();
      await delay(RETRY_MS, undefined, { signal }).catch(() => undefined);
    }
    this.#report();
  }

  /** Whether all init containers did their work and all sidecars were started. */
  async #initialize(): Promise<boolean> {
    const ended = new Promise<void>(resolve => this.#ending.signal.addEventListener('abort', () => resolve()));
    for (const worker of this.#init) {
      if (this.#ending.signal.aborted) return false;
      const done = worker.run();
      if (isSidecar(worker)) {
        await Promise.race([worker.untilStarted, ended]);
      } else {
        await done;
        if (exitCodeOf(worker.state) !== 0) return false;
      }
    }
    this.#initialized = !this.#ending.signal.aborted;
    return this.#initialized;
  }

  async #runMain(): Promise<void> {
    const ended = new Promise<void>(resolve => this.#ending.signal.addEventListener('abort', () => resolve()));
    for (const worker of this.#main) worker.state = { waiting: { reason: 'ContainerCreating' } };
    await Promise.race([Promise.all(this.#main.map(worker => worker.run())), ended]);
  }

  /** The main containers first, then the sidecars one by one, the last that was started first. */
  async #stopContainers(): Promise<void> {
    const { signal } = this.#graceOver;
    if (!this.#ending.signal.aborted) this.#countDown(this.#pod.spec.terminationGracePeriodSeconds);
    const others = [...this.#main, ...this.#init.filter(worker => !isSidecar(worker))];
    let turn: Promise<unknown> = Promise.all(others.map(worker => worker.stop(signal, Promise.resolve())));
    for (const sidecar of this.#init.filter(isSidecar).toReversed())
      turn = Promise.all([turn, sidecar.stop(signal, turn)]);
    await turn;
  }

  #end(graceSeconds: number): void {
    this.#countDown(Math.max(graceSeconds, GONE_GRACE_SECONDS));
    this.#ending.abort();
  }

  /** The grace only ever becomes shorter. */
  #countDown(graceSeconds: number): void {
    const endMs = performance.now() + graceSeconds * 1_000;
    if (endMs >= this.#graceEndMs) return;
    this.#graceEndMs = endMs;
    clearTimeout(this.#graceTimer);
    this.#graceTimer = setTimeout(() => this.#graceOver.abort(), graceSeconds * 1_000);
  }

  #worker(spec: ContainerSpec, isInit: boolean): ContainerWorker {
    const { restartPolicy, terminationGracePeriodSeconds } = this.#pod.spec;
    const initRestart = restartPolicy === 'Never' ? 'Never' : 'OnFailure';
    return new ContainerWorker({
      spec,
      start: restarts => this.#start(spec, restarts),
      restart: isInit && spec.restartPolicy !== 'Always' ? initRestart : isInit ? 'Always' : restartPolicy,
      podIp: this.#address,
      graceSeconds: terminationGracePeriodSeconds,
      probePeriodScale: this.#surroundings.probePeriodScale,
      onChange: () => this.#report(),
    });
  }

  async #start(spec: ContainerSpec, restarts: number): Promise<Container> {
    const { images, services, directory } = this.#surroundings;
    const image = findImage(images, spec.image);
    if (image === undefined) throw new Error(`image ${spec.image}: the test names none such`);
    if (this.#sandbox === undefined) throw new Error('no sandbox');
    const { namespace, name, uid } = this.#pod.metadata;
    const env = await containerEnv(this.#facts, spec, image, services(), this.#reader);
    const scratch = join(this.#directory, 'containers', spec.name, String(restarts));
    mkdirSync(scratch, { recursive: true });
    const mounts = (spec.volumeMounts ?? []).map(({ name: volume, mountPath, subPath, readOnly = false }) => {
      const source = join(this.#volumes.path(volume), expand(subPath ?? '', env));
      if (subPath !== undefined && !this.#volumes.isReadOnly(volume)) {
        mkdirSync(source, { recursive: true });
        chmodSync(source, 0o777);
      }
      return { source, target: mountPath, readOnly: readOnly || this.#volumes.isReadOnly(volume) };
    });
    return Container.start({
      networkNamespace: this.#sandbox.networkNamespace,
      root: {
        scratch,
        hostname: this.#pod.spec.hostname ?? name,
        etc: this.#etc.directory,
        mounts: mounts.toSorted((one, other) => one.target.length - other.target.length),
        readOnly: spec.securityContext?.readOnlyRootFilesystem ?? false,
      },
      command: commandLine(image, spec.command, spec.args).map(word => expand(word, env)),
      workingDir: spec.workingDir ?? '/',
      env,
      logFile: join(logDirectory(directory, namespace, name), `${spec.name}.${uid}.log`),
    });
  }

  get #facts(): PodFacts {
    const { nodeIp, allocatable } = this.#surroundings;
    return { pod: this.#pod, podIp: this.#address, nodeIp, allocatable };
  }

  /** Brings the volumes up to date, one time after the other; what kept it from that. */
  #project(): Promise<string | undefined> {
    const projected = this.#projecting
      .then(() => this.#volumes.project(this.#facts))
      .then(
        againInMs => {
          clearTimeout(this.#projectTimer);
          this.#projectTimer = setTimeout(() => this.#project(), againInMs);
          return undefined;
        },
        (error: Error) => error.message,
      );
    this.#projecting = projected;
    return projected;
  }

  #volumesTellOf(before: PodObject, pod: PodObject): boolean {
    const told = ({ metadata }: PodObject) => JSON.stringify([metadata.labels, metadata.annotations]);
    return told(before) !== told(pod);
  }

  #report(): void {
    const running = this.#main.some(({ state, restarts }) => !('waiting' in state) || restarts > 0);
    if (this.#phase === 'Pending' && this.#initialized && running) this.#phase = 'Running';
    const ended = this.#phase === 'Succeeded' || this.#phase === 'Failed';
    this.#status.write(this.#pod, {
      phase: this.#phase,
      podIp: this.#sandbox && this.#address,
      sandbox: this.#sandbox !== undefined && !ended,
      initialized: this.#initialized,
      init: this.#init,
      main: this.#main,
      problem: this.#problem,
    });
  }
}

/** Where the logs of a pod's containers are: "<container>.<uid of the pod>.log". */
export function logDirectory(directory: string, namespace: string, pod: string): string {
  return join(directory, 'logs', `${namespace}_${pod}`);
}
