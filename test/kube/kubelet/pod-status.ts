import type { ContainerState, ContainerWorker } from './container-worker.ts';
import type { Condition, PodObject } from './pod-object.ts';

/** How far a pod is. */
export interface PodProgress {
  readonly phase: 'Pending' | 'Running' | 'Succeeded' | 'Failed';
  /** Undefined until its sandbox is there. */
  readonly podIp: string | undefined;
  readonly sandbox: boolean;
  readonly initialized: boolean;
  readonly init: readonly ContainerWorker[];
  readonly main: readonly ContainerWorker[];
  /** What keeps it from starting. */
  readonly problem: string | undefined;
}

/** https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/ */
export function podStatus(
  pod: PodObject,
  nodeIp: string,
  progress: PodProgress,
  before: readonly Condition[],
  now: string,
): Readonly<Record<string, unknown>> {
  const { phase, podIp, sandbox, initialized, init, main, problem } = progress;
  const ended = phase === 'Succeeded' || phase === 'Failed';
  const lasting = [...main, ...init.filter(isSidecar)];
  const unready = lasting.filter(({ ready }) => !ready).map(({ spec }) => spec.name);
  const containersReady = !ended && initialized && unready.length === 0;
  const gates = (pod.spec.readinessGates ?? []).map(({ conditionType }) => conditionType);
  const shut = gates.filter(
    gate => !pod.status.conditions?.some(({ type, status }) => type === gate && status === 'True'),
  );
  const why = ended
    ? { reason: 'PodCompleted', message: null }
    : { reason: 'ContainersNotReady', message: `containers with unready status: [${unready.join(' ')}]` };
  const conditions = [
    condition('PodReadyToStartContainers', sandbox, {}),
    condition('Initialized', initialized, { reason: 'ContainersNotInitialized', message: problem ?? null }),
    condition('ContainersReady', containersReady, why),
    condition(
      'Ready',
      containersReady && shut.length === 0,
      containersReady
        ? { reason: 'ReadinessGatesNotReady', message: `gates that are not True: ${shut.join(', ')}` }
        : why,
    ),
  ];
  return {
    phase,
    hostIP: nodeIp,
    hostIPs: [{ ip: nodeIp }],
    ...(podIp !== undefined && { podIP: podIp, podIPs: [{ ip: podIp }] }),
    startTime: pod.status.startTime ?? now,
    conditions: conditions.map(one => {
      const known = before.find(({ type }) => type === one.type);
      return { ...one, lastTransitionTime: known?.status === one.status ? (known.lastTransitionTime ?? now) : now };
    }),
    initContainerStatuses: init.map(worker => ({ ...containerStatus(worker), ready: isInitReady(worker) })),
    containerStatuses: main.map(containerStatus),
  };
}

/** An init container that goes on beside the others. */
export function isSidecar({ spec }: Pick<ContainerWorker, 'spec'>): boolean {
  return spec.restartPolicy === 'Always';
}

/** The exit code of a container that has ended. */
export function exitCodeOf(state: ContainerState): number | undefined {
  return 'terminated' in state ? state.terminated.exitCode : undefined;
}

function containerStatus({ spec, state, lastState, restarts, ready, started }: ContainerWorker): object {
  return {
    name: spec.name,
    image: spec.image,
    imageID: '',
    state,
    lastState: lastState ?? {},
    restartCount: restarts,
    ready,
    started,
  };
}

/** One that is no sidecar is ready when it has done its work. */
function isInitReady(worker: ContainerWorker): boolean {
  return isSidecar(worker) ? worker.ready : exitCodeOf(worker.state) === 0;
}

function condition(type: string, holds: boolean, why: Pick<Condition, 'reason' | 'message'>): Condition {
  return { type, status: holds ? 'True' : 'False', reason: null, message: null, ...(!holds && why) };
}
