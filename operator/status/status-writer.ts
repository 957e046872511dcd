import { isDeepStrictEqual } from 'node:util';
import { API_VERSION } from '../../crds/metadata.ts';
import type { StatusDocument } from '../../crds/status.ts';
import { APPLY_PATCH, type ApiConnection, type Reply } from '../api/api-connection.ts';
import { type ApiFailure, fieldsOf } from '../api/api-failure.ts';
import type { Condition } from '../plan/resource-status.ts';
import { collectionPath } from '../source/kubernetes/api-object.ts';
import { GATEWAY_COLLECTION, MODEL_COLLECTION } from '../source/kubernetes/declared-object.ts';
import { EventRecorder } from './event-recorder.ts';
import { type Fleet, nextFleet, type TableProgress } from './fleet.ts';
import { PacedWrites, type WriteOutcome } from './paced-writes.ts';
import { type Programmed, programmed, resumed, SILENT_MS } from './programmed.ts';
import { type Refusal, type Refusals, refusalsOf } from './refusals.ts';
import { SeededStatuses, type StatusEvent } from './seeded-statuses.ts';
import { conditionOf, isAccepted, plannedStatus, refusedStatus, statusDocument } from './status-document.ts';
import { type PlannedCluster, type StatusObject, statusObjects } from './status-objects.ts';
import { transitions } from './transitions.ts';

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
/** An API server that takes longer is away, milliseconds. */
const TIMEOUT_MS = 10_000;

/** An object, what is to be written of it and what is. */
interface Tracked {
  object: StatusObject;
  /** As the API has it, as far as we know. */
  written: StatusDocument | undefined;
  /** Whether a write was lost on its way, so that the API may have that instead. */
  uncertain: boolean;
  /** What the API should have; undefined while that is what it has. */
  desired: StatusDocument | undefined;
  /** Since when they differ, by a clock that only runs forward. */
  differsSinceMs: number | undefined;
  /** What `desired` was made from. */
  madeFrom: readonly unknown[];
  /** The API server knows it no more; the next state will tell. */
  gone: boolean;
}

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
    this.#verdicts.clear();
    if (this.#latest === undefined || !this.#seeded.ready) return;
    if (this.#tracks !== this.#latest) this.#track(this.#latest);
    let settled = true;
    for (const tracked of this.#tracked.values()) settled = this.#consider(tracked, nowMs) && settled;
    const silent = this.#fleet.agents.some(
      ({ silentSinceMs = Number.NEGATIVE_INFINITY }) => nowMs - silentSinceMs < SILENT_MS,
    );
    if (!settled || silent) this.#lookIn(LOOK_AGAIN_MS);
  }

  #track(planned: PlannedCluster): void {
    const before = this.#tracked;
    this.#tracked = new Map();
    for (const object of statusObjects(planned)) {
      const known = before.get(object.uid);
      if (known !== undefined) {
        if (factsOf(known.object) !== factsOf(object)) known.gone = false;
        known.object = object;
      }
      this.#tracked.set(object.uid, known ?? newlyTracked(object, this.#seeded.take(object.uid)));
    }
    this.#seeded.forget();
    this.#tracks = planned;
  }

  /** Decides what is to be written of an object. Whether that stays so while nothing but time passes. */
  #consider(tracked: Tracked, nowMs: number): boolean {
    const { object, written } = tracked;
    const verdict = this.#programmed(object, nowMs);
    const condition = verdict && resumed(verdict, conditionOf(written, 'Programmed'), object.generation);
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

  #compare(tracked: Tracked, condition: Condition | undefined): void {
    const { object, written, uncertain, madeFrom } = tracked;
    const from = [factsOf(object), condition, written, uncertain];
    if (madeFrom.length > 0 && from.every((part, index) => part === madeFrom[index])) return;
    const { planned, refused } = object.source;
    const status = refused === undefined ? plannedStatus(planned, condition) : refusedStatus(refused);
    const document = statusDocument(status, written, Date.now());
    tracked.madeFrom = from;
    tracked.desired = !uncertain && isDeepStrictEqual(document, written) ? undefined : document;
  }

  /** Undefined for what is not served. */
  #programmed({ kind, key, source }: StatusObject, nowMs: number): Programmed | undefined {
    const { planned } = source;
    if (planned === undefined || !isAccepted(planned)) return undefined;
    const { progress } = this.#options;
    const { ofModels, ofGateway, ofTable } = this.#refusals ?? NOTHING_REFUSED;
    const fleet = this.#fleet ?? nextFleet(undefined, progress, nowMs);
    const isModel = kind === 'ModelDeployment';
    const changedIn = isModel ? progress.changedIn(key) : progress.gatewayChangedIn;
    const ofResource = isModel ? (ofModels.get(key) ?? NO_REFUSALS) : ofGateway;
    if (ofResource.length > 0) return programmed(changedIn, fleet, { ofResource, ofTable }, nowMs);
    const verdict = this.#verdicts.get(changedIn) ?? programmed(changedIn, fleet, { ofResource, ofTable }, nowMs);
    this.#verdicts.set(changedIn, verdict);
    return verdict;
  }

  async #write(uid: string): Promise<WriteOutcome> {
    const tracked = this.#tracked.get(uid);
    const document = tracked?.desired;
    if (tracked === undefined || document === undefined || tracked.gone) return { kind: 'done' };
    const { object, written } = tracked;
    const { object: answered, failure } = await this.#apply(object, document);
    if (failure === undefined) {
      this.#options.onEvent({ event: 'status.written', resource: `${object.kind} ${object.key}` });
      this.#applied(uidOf(answered) ?? uid, document);
      if (uidOf(answered) === uid) {
        for (const transition of transitions(written, document)) this.#recorder.record(object, transition);
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

  /** Never rejects: a connection that failed is a failure with code 0. */
  async #apply({ kind, namespace, name }: StatusObject, status: StatusDocument): Promise<Reply> {
    const collection = kind === 'ModelDeployment' ? MODEL_COLLECTION : GATEWAY_COLLECTION;
    const request = {
      method: 'PATCH',
      path: `${collectionPath({ ...collection, namespace })}/${name}/status`,
      query: { fieldManager: 'fairlead-operator', force: 'true' },
      contentType: APPLY_PATCH,
      body: { apiVersion: API_VERSION, kind, metadata: { namespace, name }, status },
    } as const;
    const { api, signal } = this.#options;
    try {
      return await api.send(request, AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)]));
    } catch (error) {
      return { failure: { code: 0, message: error instanceof Error ? error.message : String(error) } };
    }
  }
}

const NO_REFUSALS: readonly Refusal[] = [];
const NOTHING_REFUSED: Refusals = { ofModels: new Map(), ofGateway: NO_REFUSALS, ofTable: NO_REFUSALS };

function newlyTracked(object: StatusObject, written: StatusDocument | undefined): Tracked {
  return {
    object,
    written,
    uncertain: false,
    desired: undefined,
    differsSinceMs: undefined,
    madeFrom: [],
    gone: false,
  };
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
