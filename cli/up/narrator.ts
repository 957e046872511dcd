import type { ConnectedAgent } from '../../operator/publish/publisher.ts';
import type { PlannedState } from '../node/control-plane.ts';
import { allProblems, problemText } from '../problem-report.ts';
import type { ChildEvent, OutputStream } from '../process/supervisor.ts';
import { graveEnvoyLine, graveEvent, reasonIn } from './child-words.ts';
import { planChanges } from './plan-changes.ts';
import { atMost, type Screen } from './screen.ts';

/** The children of `fairlead up`. */
export type ChildName = 'extproc' | 'envoy' | 'simulator';

/** What it means for clients that a child is gone. */
const MEANWHILE: Readonly<Record<ChildName, string>> = {
  extproc: 'new requests get 503',
  envoy: 'connections broke, and new ones are refused',
  simulator: 'no simulated pod answers',
};

/** Decides what of all that happens in `fairlead up` the person at the terminal is told, and says it once, in words. */
export class Narrator {
  readonly #screen: Screen;
  #planned: PlannedState | undefined;
  #problems = '';
  /** What Envoy refuses, by resource, and why. */
  #refusals: ReadonlyMap<string, string> = new Map();
  #ready = false;
  #stopping = false;

  constructor(screen: Screen) {
    this.#screen = screen;
  }

  /** Everything answers: from now on changes are told. */
  ready(directory: string, logs: string): void {
    this.#ready = true;
    if (this.#planned) this.#screen.banner({ plan: this.#planned.plan, directory, logs });
  }

  /** From now on only ends are to be expected, and none is told. */
  stopping(): void {
    this.#stopping = true;
    this.#screen.event('Stopping: running requests may end, new ones are refused. Ctrl-C again to end at once.');
  }

  planned(now: PlannedState): void {
    const before = this.#planned;
    this.#planned = now;
    const problems = problemText(allProblems(now.reading, now.plan), this.#screen.colour);
    if (problems !== this.#problems) this.#screen.write(problems || 'All files are in order again.\n');
    this.#problems = problems;
    if (!this.#ready || before === undefined || before.version === now.version) return;
    const changes = planChanges(before.plan, now.plan).map(line => `  ${line}`);
    this.#screen.event([`Table ${now.version}`, ...atMost(changes)].join('\n'));
  }

  child(name: ChildName, event: ChildEvent): void {
    if (event.kind === 'started') {
      if (this.#ready) this.#screen.event(`${name} runs again (pid ${event.pid}).`);
      return;
    }
    const reason = reasonIn(event.lastLines);
    const why = reason === undefined ? event.why : `${event.why}: ${reason}`;
    const seconds = event.restartInMs / 1_000;
    this.#screen.warn(`${name} ended (${why}): ${MEANWHILE[name]} until it runs again, in ${seconds} s.`);
  }

  /** A line that a child printed. */
  line(name: ChildName, line: string, stream: OutputStream): void {
    const words = graveWords(name, line, stream);
    if (words !== undefined && !this.#stopping) this.#screen.warn(`${name}: ${words}`);
  }

  /** What the agents report: of what Envoy refuses, such as a port that is taken, and that it does no more. */
  agents(agents: readonly ConnectedAgent[]): void {
    const reports = agents.flatMap(({ report }) => report ?? []);
    // While the agent is away nobody knows.
    if (reports.length === 0) return;
    const now = new Map(
      reports.flatMap(({ rejections }) => rejections.map(({ resource, message }) => [resource, message] as const)),
    );
    for (const [resource, message] of now) {
      if (this.#refusals.get(resource) !== message) this.#screen.warn(`Envoy refuses ${resource}: ${message}`);
    }
    for (const resource of this.#refusals.keys()) {
      if (!now.has(resource)) this.#screen.event(`Envoy no longer refuses ${resource}.`);
    }
    this.#refusals = now;
  }
}

function graveWords(name: ChildName, line: string, stream: OutputStream): string | undefined {
  if (name === 'envoy') return graveEnvoyLine(line);
  if (name === 'extproc') return graveEvent(line);
  // Simulated pods introduce themselves on standard output; why the simulator ends is told when it does.
  return stream === 'stderr' && !line.startsWith('fairlead: ') ? line : undefined;
}
