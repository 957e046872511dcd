import { isDeepStrictEqual } from 'node:util';
import type { StatusDocument } from '../../crds/status.ts';
import type { ApiConnection } from '../api/api-connection.ts';
import { type ApiFailure, fieldsOf } from '../api/api-failure.ts';
import type { Condition } from '../plan/resource-status.ts';
import { applyStatus } from './apply-status.ts';
import { EventRecorder } from './event-recorder.ts';
import { type Fleet, nextFleet, type TableProgress } from './fleet.ts';
import { type LimitStoreHealth, nextHealth, STORE_IS_WELL } from './limit-store-health.ts';
import { PacedWrites, type WriteOutcome } from './paced-writes.ts';
import { type Programmed, programmed, resumed, SILENT_MS } from './programmed.ts';
import { type Refusal, type Refusals, refusalsOf } from './refusals.ts';
import { SeededStatuses, type StatusEvent } from './seeded-statuses.ts';
import { nextSpend, reportedBudgets } from './spend.ts';
import { conditionOf, isAccepted, plannedStatus, refusedStatus, statusDocument } from './status-document.ts';
import { type PlannedCluster, type StatusObject, statusObjects } from './status-objects.ts';
import { newlyTracked, type Tracked } from './tracked.ts';
import { type Transition, transitions } from './transitions.ts';

interface StatusWriterOptions {
  readonly api: ApiConnection;
  /** Those that count; all of them when absent. */
  readonly namespaces?: readonly string[];
  /** Who publishes the table. */
  readonly progress: TableProgress;
  /** Ends it at once, also what is under way: others lead now. */
  readonly signal: AbortSignal;
  readonly onEvent: (event: StatusEvent) => void;
}

/** What several changes at once have in common: a report of each agent, say; milliseconds. */
const LOOK_DELAY_MS = 20;
/** How often what depends on time alone is looked at, milliseconds. */
const LOOK_AGAIN_MS = 250;
/** How long a new spec's status waits for gateways that have just been sent it, so that it need not be written twice. */
const HOLD_MS = 1_000;

/**
 * Keeps the status of every resource true in the API, and tells of transitions by Events. For the leader only: it begins
 * at once, and knows what the API says before it writes anything. It does not look again: what somebody else writes into a
 * status stays there until we have something new to say.
 */
export class StatusWriter {
  readonly #options: StatusWriterOptions;
  readonly #writes: PacedWrites;
  readonly #recorder: EventRecorder;
  readonly #seeded: SeededStatuses;
  /** By uid: an object of the same name is another. */
  #tracked = new Map<string, Tracked>();
  #latest: PlannedCluster | undefined;
  #tracks: PlannedCluster | undefined;
  #fleet: Fleet | undefined;
  #refusals: Refusals | undefined;
  #budgets: ReturnType<typeof reportedBudgets>;
  #storeHealth: LimitStoreHealth = STORE_IS_WELL;
  #timer: NodeJS.Timeout | undefined;
  #timerAtMs = Number.POSITIVE_INFINITY;
  #lastFailure = '';
  /** Of resources that nobody refuses, by the number of the version that changed them last; of one look. */
  readonly #verdicts = new Map<number, Programmed>();

  constructor(options: StatusWriterOptions) {
    const { api, signal, onEvent } = options;
    this.#options = options;
    this.#recorder = new EventRecorder({ api, signal, onEvent });
    this.#writes = new PacedWrites({
      write: uid => this.#write(uid),
      signal,
      onPause: delayMs =>
        onEvent({ event: 'status.interrupted', reason: this.#lastFailure, retryInMs: Math.round(delayMs) }),
    });
    this.#seeded = new SeededStatuses({ api, namespaces: options.namespaces, signal, onEvent }, () => this.#lookIn(0));
    signal.addEventListener('abort', () => clearTimeout(this.#timer), { once: true });
  }

  /** There is another plan, and its table is published. */
  update(planned: PlannedCluster): void {
    this.#latest = planned;
    this.#lookIn(LOOK_DELAY_MS);
  }

  /** What agents report is different. */
  agentsChanged(): void {
    this.#lookIn(LOOK_DELAY_MS);
  }

  #lookIn(delayMs: number): void {
    const atMs = performance.now() + delayMs;
    if (this.#options.signal.aborted || atMs >= this.#timerAtMs) return;
    clearTimeout(this.#timer);
    this.#timerAtMs = atMs;
    this.#timer = setTimeout(() => {
      this.#timerAtMs = Number.POSITIVE_INFINITY;
      this.#look(performance.now());
    }, delayMs);
  }

  #look(nowMs: number): void {
    const { progress } = this.#options;
    this.#fleet = nextFleet(this.#fleet, progress, nowMs);
    this.#refusals = refusalsOf(progress.agents());
    this.#budgets = reportedBudgets(progress.agents());
    this.#verdicts.clear();
    if (this.#latest === undefined || !this.#seeded.ready) return;
    if (this.#tracks !== this.#latest) this.#track(this.#latest, nowMs);
    this.#lookAtStore(nowMs);
    let settled = true;
    for (const tracked of this.#tracked.values()) settled = this.#consider(tracked, nowMs) && settled;
    const silent = this.#fleet.agents.some(
      ({ silentSinceMs = Number.NEGATIVE_INFINITY }) => nowMs - silentSinceMs < SILENT_MS,
    );
    if (!settled || silent) this.#lookIn(LOOK_AGAIN_MS);
  }

  /** There is no condition for it: it comes and goes by itself, and limits hold as the gateway says meanwhile. */
  #lookAtStore(nowMs: number): void {
    const { progress, onEvent } = this.#options;
    const { health, transition, waitMs } = nextHealth(this.#storeHealth, progress.agents(), nowMs);
    this.#storeHealth = health;
    if (waitMs !== undefined) this.#lookIn(waitMs);
    if (transition === undefined) return;
    onEvent({ event: health.toldFailed ? 'limit_store.failed' : 'limit_store.recovered', note: transition.note });
    for (const { object } of this.#tracked.values()) {
      const { planned } = object.source;
      const isServed = object.kind === 'InferenceGateway' && planned !== undefined && isAccepted(planned);
      if (isServed) this.#recorder.record(object, transition);
    }
  }

  #track(planned: PlannedCluster, nowMs: number): void {
    const before = this.#tracked;
    this.#tracked = new Map();
    for (const object of statusObjects(planned)) {
      const known = before.get(object.uid);
      if (known !== undefined) {
        if (factsOf(known.object) !== factsOf(object)) known.gone = false;
        known.object = object;
      }
      this.#tracked.set(object.uid, known ?? newlyTracked(object, this.#seeded.take(object.uid), nowMs));
    }
    this.#seeded.forget();
    this.#tracks = planned;
  }

  /** Decides what is to be written of an object. Whether that stays so while nothing but time passes. */
  #consider(tracked: Tracked, nowMs: number): boolean {
    const { object, written } = tracked;
    const verdict = this.#programmed(object, nowMs);
    const condition = verdict && resumed(verdict, conditionOf(written, 'Programmed'), object.generation);
    if (object.kind === 'Consumer') this.#considerSpend(tracked, nowMs);
    this.#compare(tracked, condition);
    if (tracked.desired === undefined || tracked.gone) {
      tracked.differsSinceMs = undefined;
      return verdict === undefined || verdict.standing === 'final';
    }
    tracked.differsSinceMs ??= nowMs;
    const isHeld = verdict?.standing === 'soon' && condition === verdict.condition;
    if (!isHeld || nowMs - tracked.differsSinceMs >= HOLD_MS) this.#writes.request(object.uid);
    return verdict === undefined || verdict.standing === 'final';
  }

  #considerSpend(tracked: Tracked, nowMs: number): void {
    // Without any report, as after a change of leader, what was said stays.
    if (this.#budgets === undefined) return;
    const reported = this.#budgets.get(tracked.object.key);
    const { spend, waitMs } = nextSpend(tracked.spend, reported, {
      quietMs: nowMs - tracked.spendSinceMs,
      nowMs: Date.now(),
      budget: tracked.object.budget,
    });
    if (waitMs !== undefined) this.#lookIn(waitMs);
    if (spend === tracked.spend) return;
    tracked.spend = spend;
    tracked.spendSinceMs = nowMs;
  }

  #compare(tracked: Tracked, condition: Condition | undefined): void {
    const { object, written, uncertain, madeFrom, spend } = tracked;
    const { planned, refused, meanwhile } = { meanwhile: '', ...object.source };
    const from = [factsOf(object), meanwhile, condition, written, uncertain, spend];
    if (madeFrom.length > 0 && from.every((part, index) => part === madeFrom[index])) return;
    const status = refused === undefined ? plannedStatus(planned, condition, spend) : refusedStatus(refused, meanwhile);
    const document = statusDocument(status, written, Date.now());
    tracked.madeFrom = from;
    tracked.desired = !uncertain && isDeepStrictEqual(document, written) ? undefined : document;
  }

  /** Undefined for what is not served. */
  #programmed({ kind, key, source }: StatusObject, nowMs: number): Programmed | undefined {
    const { planned } = source;
    if (planned === undefined || !isAccepted(planned)) return undefined;
    const { progress } = this.#options;
    const fleet = this.#fleet ?? nextFleet(undefined, progress, nowMs);
    const { changedIn, ofResource } = this.#table(kind, key);
    const { ofTable } = this.#refusals ?? NOTHING_REFUSED;
    if (ofResource.length > 0) return programmed(changedIn, fleet, { ofResource, ofTable }, nowMs);
    const verdict = this.#verdicts.get(changedIn) ?? programmed(changedIn, fleet, { ofResource, ofTable }, nowMs);
    this.#verdicts.set(changedIn, verdict);
    return verdict;
  }

  /** In which version a resource changed last, and who refuses it. */
  #table(kind: StatusObject['kind'], key: string): { changedIn: number; ofResource: readonly Refusal[] } {
    const { progress } = this.#options;
    const { ofModels, ofConsumers, ofGateway } = this.#refusals ?? NOTHING_REFUSED;
    switch (kind) {
      case 'ModelDeployment':
        return { changedIn: progress.changedIn(key), ofResource: ofModels.get(key) ?? NO_REFUSALS };
      case 'Consumer':
        return { changedIn: progress.consumerChangedIn(key), ofResource: ofConsumers.get(key) ?? NO_REFUSALS };
      case 'InferenceGateway':
        return { changedIn: progress.gatewayChangedIn, ofResource: ofGateway };
    }
  }

  async #write(uid: string): Promise<WriteOutcome> {
    const tracked = this.#tracked.get(uid);
    const document = tracked?.desired;
    if (tracked === undefined || document === undefined || tracked.gone) return { kind: 'done' };
    const { object, written } = tracked;
    const { api, signal } = this.#options;
    const { object: answered, failure } = await applyStatus(api, object, document, signal);
    if (failure === undefined) {
      this.#options.onEvent({ event: 'status.written', resource: `${object.kind} ${object.key}` });
      this.#applied(uidOf(answered) ?? uid, document);
      if (uidOf(answered) === uid) {
        for (const transition of transitions(written, document)) {
          if (transition.reason !== 'BudgetExhausted' || isNewlyExhausted(tracked, document))
            this.#tell(object, transition);
        }
      } else tracked.gone = true;
      return { kind: 'done' };
    }
    if (failure.code === 404) {
      tracked.gone = true;
      return { kind: 'done' };
    }
    tracked.uncertain ||= failure.code === 0 || failure.code >= 500;
    return this.#failed(object, failure);
  }

  #tell(object: StatusObject, transition: Transition): void {
    this.#recorder.record(object, transition);
    const event = BUDGET_EVENTS.get(transition.reason);
    if (event !== undefined) this.#options.onEvent({ event, consumer: object.key, note: transition.note });
  }

  /**
   * The API has `document` for the object of that uid. That is not always the one it was meant for: the API server
   * does not compare uids here, so that an object made anew under an old name may get what its predecessor was.
   */
  #applied(uid: string, document: StatusDocument): void {
    const tracked = this.#tracked.get(uid);
    if (tracked === undefined) return;
    tracked.written = document;
    tracked.uncertain = false;
    tracked.differsSinceMs = undefined;
    // What was wanted meanwhile may be more, or nothing now.
    this.#consider(tracked, performance.now());
  }

  #failed({ kind, key }: StatusObject, { code, message, retryAfterMs }: ApiFailure): WriteOutcome {
    const retry = retryAfterMs === undefined ? {} : { retryAfterMs };
    if (concernsAll(code)) {
      this.#lastFailure = message;
      return { kind: 'unavailable', ...retry };
    }
    this.#options.onEvent({ event: 'status.failed', resource: `${kind} ${key}`, reason: message });
    return { kind: 'failed', ...retry };
  }
}

const NO_REFUSALS: readonly Refusal[] = [];
const NOTHING_REFUSED: Refusals = {
  ofModels: new Map(),
  ofConsumers: new Map(),
  ofGateway: NO_REFUSALS,
  ofTable: NO_REFUSALS,
};

/** What is told of budgets beside their Events, by the reason of those. */
const BUDGET_EVENTS: ReadonlyMap<string, 'budget.warning' | 'budget.exhausted'> = new Map([
  ['BudgetWarning', 'budget.warning'],
  ['BudgetExhausted', 'budget.exhausted'],
]);

/** A reservation that is given back makes room for a while; that it is used up again is no news in a period. */
function isNewlyExhausted(tracked: Tracked, { spend }: StatusDocument): boolean {
  const exhausted = `${spend?.periodEnd} ${spend?.limit} ${spend?.currency}`;
  const isNew = tracked.toldExhausted !== exhausted;
  tracked.toldExhausted = exhausted;
  return isNew;
}

function uidOf(object: unknown): string | undefined {
  const { uid } = fieldsOf(fieldsOf(object).metadata);
  return typeof uid === 'string' ? uid : undefined;
}

/** What a status is made from; the same object while it says the same. */
function factsOf({ source }: StatusObject): unknown {
  return source.planned ?? source.refused;
}

/**
 * Whether a failure is the API server's rather than about the one object: an admission webhook denies with 403, and one
 * that is broken with 500.
 */
function concernsAll(code: number): boolean {
  return [0, 401, 408, 429, 502, 503, 504].includes(code);
}
