import { once } from 'node:events';
import { hostname } from 'node:os';
import { serveControl } from '../sim/control.ts';
import { DocumentChanges } from '../sim/document-changes.ts';
import { Fleet } from '../sim/fleet.ts';
import { startPod } from '../sim/pod.ts';
import { readPodDocuments } from '../sim/pod-documents.ts';

/** What `fairlead sim` may be told besides the path. */
export interface SimOptions {
  /** Ends everything. */
  readonly signal: AbortSignal;
  /** Receives lines for a person. */
  readonly log: (line: string) => void;
  /** Receives what is wrong with the files or their addresses, once while the pods go on. */
  readonly complain: (line: string) => void;
  /** `host:port` where faults are ordered; none without it. */
  readonly control?: string;
}

/**
 * Simulates the pods that `path` (a YAML file or a directory) declares, and follows its changes, until the signal says
 * to end.
 *
 * @throws Error that says what to do, at the start: a document that cannot be read, an address that is taken
 */
export async function runSim(path: string, options: SimOptions): Promise<void> {
  const { signal, log, complain, control } = options;
  const changes = new DocumentChanges(path, signal, error => complain(`changes may go unnoticed: ${error}`));
  const fleet = new Fleet();
  try {
    const { failures } = await play(fleet, path, log);
    if (failures[0]) throw failures[0];
    if (fleet.pods.length === 0) {
      log(`${path} declares no Pod with the annotation sim.fairlead.dev/model: nothing is simulated yet.`);
    }
    if (control !== undefined)
      log(`faults are ordered at http://${await serveControl(fleet, control, { signal })}/sim/faults`);
    await follow(fleet, path, changes, options);
  } finally {
    await changes.close();
    await fleet.close();
  }
}

/** The one pod that a container plays. */
interface SimPodOptions {
  /** Served names, the first is the usual one. */
  readonly models: readonly [string, ...string[]];
  /** Where it serves. */
  readonly listen: { readonly host: string; readonly port: number };
  /** Ends it, when it has finished the requests that it has. */
  readonly signal: AbortSignal;
  /** Receives a line for a person. */
  readonly log: (line: string) => void;
}

/**
 * Simulates a single pod, named as this machine is, which for a container is the name of its Kubernetes pod.
 *
 * @throws Error that says what to do, when the address cannot be had
 */
export async function runSimPod({ models, listen, signal, log }: SimPodOptions): Promise<void> {
  const pod = await startPod({ name: hostname(), models, address: listen.host, port: listen.port });
  log(`${pod.name} serves ${pod.models.join(', ')} at ${pod.url}`);
  if (!signal.aborted) await once(signal, 'abort');
  await pod.drain();
}

async function follow(fleet: Fleet, path: string, changes: DocumentChanges, options: SimOptions): Promise<void> {
  const { signal, log, complain } = options;
  let complaints = '';
  while (await changes.next()) {
    const { failures } = await play(fleet, path, log).catch(error => ({ failures: [error] }));
    if (signal.aborted) return;
    const now = failures.map(error => error.message).join('\n');
    if (now !== '' && now !== complaints) complain(now);
    complaints = now;
  }
}

/** Makes the fleet what the files say. */
async function play(
  fleet: Fleet,
  path: string,
  log: (line: string) => void,
): Promise<{ readonly failures: readonly Error[] }> {
  const before = fleet.pods;
  const { started, failures } = await fleet.follow(await readPodDocuments(path));
  const gone = before.filter(pod => !fleet.pods.includes(pod));
  for (const pod of gone) log(`${pod.name} at ${pod.url} has ended`);
  for (const pod of started) log(`${pod.name} serves ${pod.models.join(', ')} at ${pod.url}`);
  return { failures };
}
