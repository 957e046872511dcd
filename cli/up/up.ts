import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { Publisher } from '../../operator/publish/publisher.ts';
import { type DirectoryReading, watchDirectory } from '../../operator/source/directory.ts';
import { readPodDocuments } from '../../sim/pod-documents.ts';
import { type PlannedState, startControlPlane } from '../node/control-plane.ts';
import { envoyCommand } from '../process/envoy-command.ts';
import { drainEnvoy } from '../process/envoy-drain.ts';
import { type RunDirectory, temporaryRunDirectory } from '../process/run-directory.ts';
import { untilStopped } from '../process/stop-signal.ts';
import { Supervisor } from '../process/supervisor.ts';
import { envoyBinary } from '../setup/envoy-binary.ts';
import { takenAddresses, type WantedAddress } from './free-ports.ts';
import { defaultLogDirectory, makeLogDirectory } from './log-directory.ts';
import { LogFile, rotate } from './log-file.ts';
import { type ChildName, Narrator } from './narrator.ts';
import { Screen } from './screen.ts';

/** Options of `fairlead up`. */
interface UpOptions {
  readonly sim?: boolean;
  readonly simControl?: string;
  readonly concurrency?: number;
  readonly logLevel: string;
  readonly logDir?: string;
  readonly usageRecords?: string;
}

/** The launcher that children are started by, so that they run on the same Node. */
const FAIRLEAD = join(import.meta.dirname, '..', 'bin', 'fairlead');
const NODE_ID = 'local';
/** Running requests get this long to end after Ctrl-C; a second Ctrl-C ends them at once. */
const DRAIN_GRACE_MS = 30_000;
/** Then each child gets this long to end by itself. */
const STOP_GRACE_MS = 2_000;
/** A gateway that is not ready by then is explained rather than waited for in silence. */
const SLOW_START_MS = 15_000;

/**
 * Runs the whole gateway on this machine: this process is the control plane over `directory`; extproc, Envoy and (when
 * asked for) simulated pods are its children, exactly as they would run in a pod. Resolves when it was told to stop.
 *
 * @returns exit code
 * @throws Error that says what to do, when the gateway cannot be started
 */
export async function up(directory: string, options: UpOptions): Promise<number> {
  if (!existsSync(directory)) throw new Error(`There is no directory ${directory}.`);
  const logs = options.logDir ?? defaultLogDirectory(directory);
  makeLogDirectory(logs);
  const stop = untilStopped();
  const gateway = new LocalGateway({ ...options, directory, logs }, await temporaryRunDirectory());
  try {
    await gateway.start(stop);
    if (!stop.aborted) await once(stop, 'abort');
    await gateway.drain();
  } finally {
    await gateway.end();
  }
  return 0;
}

interface GatewayOptions extends UpOptions {
  /** The YAML. */
  readonly directory: string;
  /** Where logs go. */
  readonly logs: string;
}

/** The processes of one `fairlead up`, from their start to their end. */
class LocalGateway {
  readonly #options: GatewayOptions;
  readonly #run: RunDirectory;
  readonly #screen = new Screen(process.stdout);
  readonly #narrator = new Narrator(this.#screen);
  readonly #logPath: string;
  readonly #accessLogPath: string;
  readonly #log: LogFile;
  /** In the order of their start. */
  readonly #children: Supervisor[] = [];
  readonly #controlPlaneEnded = new AbortController();
  #planned: PlannedState | undefined;

  constructor(options: GatewayOptions, run: RunDirectory) {
    this.#options = options;
    this.#run = run;
    this.#logPath = join(options.logs, 'fairlead.log');
    this.#accessLogPath = join(options.logs, 'access.log');
    this.#log = new LogFile(this.#logPath, message =>
      this.#screen.warn(`${this.#logPath} cannot be written (${message}): nothing more is logged there.`),
    );
  }

  async start(stop: AbortSignal): Promise<void> {
    const { directory } = this.#options;
    const binary = await envoyBinary(line => this.#screen.write(`${line}\n`));
    const { signal } = this.#controlPlaneEnded;
    const onFailure = ({ message }: Error) => {
      this.#logEvent({ name: 'operator', level: 'error', event: 'plan.failed', message });
      this.#screen.warn(`The last change cannot be served (${message}): what was served before goes on.`);
    };
    const publisher: Publisher = new Publisher({
      onEvent: event => this.#logEvent({ name: 'operator', ...event }),
      onChange: () => this.#narrator.agents(publisher.agents()),
    });
    await startControlPlane<DirectoryReading>({
      publisher,
      watch: onState => watchDirectory(directory, { signal, onState, onFailure }),
      standalone: true,
      onPlan: planned => {
        this.#planned = planned;
        this.#narrator.planned(planned);
      },
      onFailure,
    });
    await publisher.listen(`unix:${this.#run.controlPlaneSocket}`, signal);
    await this.#checkPorts();
    // Not before it is sure that no other `fairlead up` of this directory writes to them.
    for (const path of [this.#logPath, this.#accessLogPath]) rotate(path);
    this.#log.open();
    this.#startChildren(binary);
    await this.#untilReady(publisher, stop);
  }

  /** No new connections; requests that are running end. */
  async drain(): Promise<void> {
    this.#narrator.stopping();
    await drainEnvoy({ socketPath: this.#run.envoyAdminSocket, minAcceptMs: 0, timeoutMs: DRAIN_GRACE_MS });
  }

  /** The end of what was started. */
  async end(): Promise<void> {
    // Envoy before extproc, which it depends on; simulated pods last.
    for (const child of this.#children.toReversed()) await child.stop(STOP_GRACE_MS);
    this.#controlPlaneEnded.abort();
    this.#log.end();
    if (this.#children.length > 0) this.#screen.event('Stopped.');
  }

  async #checkPorts(): Promise<void> {
    const taken = await takenAddresses([...this.#gatewayAddresses(), ...(await this.#podAddresses())]);
    if (taken.length > 0) throw new Error(taken.join('\n'));
  }

  #gatewayAddresses(): WantedAddress[] {
    const gateway = this.#planned?.plan.gateway;
    if (!gateway) return [];
    const { listeners, adminAddress, adminPort } = gateway;
    const of = (field: string) => `${field} of the InferenceGateway`;
    return [
      ...listeners.map(({ address, port }, at) => ({ address, port, setting: of(`spec.listeners[${at}].port`) })),
      { address: adminAddress, port: adminPort, setting: of('spec.admin.port') },
    ];
  }

  async #podAddresses(): Promise<WantedAddress[]> {
    if (!this.#options.sim) return [];
    // Files that cannot be read are the simulator's to tell of, now and when they are mended.
    const pods = await readPodDocuments(this.#options.directory).catch(() => []);
    return pods.map(({ name, address = '127.0.0.1', port = 0 }) => ({
      address,
      port,
      setting: `the containerPort of Pod ${name}`,
    }));
  }

  #startChildren(binary: string): void {
    const { sim, simControl, directory, logs, logLevel, concurrency, usageRecords } = this.#options;
    if (sim) {
      const control = simControl === undefined ? [] : ['--control', simControl];
      this.#startChild('simulator', [FAIRLEAD, 'sim', directory, ...control]);
    }
    this.#startChild('extproc', [
      FAIRLEAD,
      'extproc',
      ...['--control-plane', `unix:${this.#run.controlPlaneSocket}`],
      ...['--run-dir', this.#run.path],
      ...['--node-id', NODE_ID],
      ...['--access-log', this.#accessLogPath],
      ...['--counters-file', join(logs, 'counters.json')],
      ...(usageRecords === undefined ? [] : ['--usage-records', usageRecords]),
      ...['--log-level', logLevel],
    ]);
    this.#startChild('envoy', envoyCommand(this.#run, { binary, nodeId: NODE_ID, concurrency }));
  }

  #startChild(name: ChildName, [command, ...args]: readonly [string, ...string[]]): void {
    const child = new Supervisor(
      {
        name,
        command,
        args,
        onLine: (line, stream) => {
          this.#log.write(line);
          this.#narrator.line(name, line, stream);
        },
      },
      event => {
        // What it printed is in the log already.
        const { kind, lastLines: _, ...facts } = { lastLines: [], ...event };
        this.#logEvent({ event: `child.${kind}`, ...facts });
        this.#narrator.child(name, event);
      },
    );
    this.#children.push(child);
  }

  /** Resolves when the agent reports that Envoy answers and follows the table. */
  async #untilReady(publisher: Publisher, stop: AbortSignal): Promise<void> {
    const slow = setTimeout(() => {
      this.#screen.warn(`Still not ready. What the processes say is in ${this.#logPath}.`);
    }, SLOW_START_MS);
    try {
      await publisher.applied(publisher.version, stop);
      this.#narrator.ready(this.#options.directory, this.#options.logs);
    } catch {
      // Stopped before it was ready.
    } finally {
      clearTimeout(slow);
    }
  }

  #logEvent(event: object): void {
    this.#log.write(JSON.stringify({ time: Date.now(), ...event }));
  }
}
