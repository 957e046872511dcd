import { randomBytes } from 'node:crypto';
import { hostname } from 'node:os';
import { API_VERSION } from '../../crds/metadata.ts';
import type { ApiConnection } from '../api/api-connection.ts';
import type { Transition } from './transitions.ts';

/** The object that an Event is about. */
export interface Regarding {
  readonly kind: 'ModelDeployment' | 'InferenceGateway' | 'Consumer';
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
}

/** An Event that was not written, and why. */
export interface EventLost {
  readonly event: 'status.event_lost';
  readonly resource: string;
  readonly reason: string;
}

interface EventRecorderOptions {
  readonly api: ApiConnection;
  readonly signal: AbortSignal;
  readonly onEvent: (event: EventLost) => void;
}

/** Events that an object may have at once. */
const BURST = 10;
/** After which it may have one more, milliseconds. */
const REFILL_MS = 60_000;
/** Waiting to be written; what comes on top is lost. */
const MAX_WAITING = 2_000;
/** An Event that the API server does not take for this long is lost, milliseconds. */
const TIMEOUT_MS = 10_000;
/** Of the API: https://kubernetes.io/docs/reference/kubernetes-api/cluster-resources/event-v1/ */
const MAX_NOTE_BYTES = 1_024;
const MAX_INSTANCE_CHARACTERS = 128;
/** Of 253. */
const MAX_NAME_CHARACTERS = 230;

interface Bucket {
  tokens: number;
  /** Of a clock that only runs forward. */
  filledAtMs: number;
}

/** Writes Events, one after the other and without trying twice: they are a courtesy, the status is what counts. */
export class EventRecorder {
  readonly #options: EventRecorderOptions;
  readonly #waiting: { readonly regarding: Regarding; readonly body: unknown }[] = [];
  /** By uid, of objects that had an Event not long ago. */
  readonly #buckets = new Map<string, Bucket>();
  #writing = false;

  constructor(options: EventRecorderOptions) {
    this.#options = options;
  }

  /** Has an Event written, unless the object has had too many. */
  record(regarding: Regarding, transition: Transition): void {
    if (!this.#take(regarding.uid, performance.now())) return;
    if (this.#waiting.length >= MAX_WAITING) {
      this.#lost(regarding, 'too many wait to be written');
      return;
    }
    this.#waiting.push({ regarding, body: eventDocument(regarding, transition, new Date()) });
    if (!this.#writing) void this.#write();
  }

  #take(uid: string, nowMs: number): boolean {
    const bucket = this.#buckets.get(uid) ?? { tokens: BURST, filledAtMs: nowMs };
    const refill = Math.floor((nowMs - bucket.filledAtMs) / REFILL_MS);
    const tokens = Math.min(BURST, bucket.tokens + refill);
    if (this.#buckets.size >= MAX_WAITING) this.#forgetFull(nowMs);
    this.#buckets.set(uid, { tokens: Math.max(0, tokens - 1), filledAtMs: bucket.filledAtMs + refill * REFILL_MS });
    return tokens > 0;
  }

  #forgetFull(nowMs: number): void {
    for (const [uid, { tokens, filledAtMs }] of this.#buckets) {
      if (tokens + Math.floor((nowMs - filledAtMs) / REFILL_MS) >= BURST) this.#buckets.delete(uid);
    }
  }

  async #write(): Promise<void> {
    const { api, signal } = this.#options;
    this.#writing = true;
    for (let next = this.#waiting.shift(); next !== undefined && !signal.aborted; next = this.#waiting.shift()) {
      const { regarding, body } = next;
      const path = `/apis/events.k8s.io/v1/namespaces/${regarding.namespace}/events`;
      const timeout = AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)]);
      try {
        const { failure } = await api.send({ method: 'POST', path, body }, timeout);
        if (failure !== undefined) this.#lost(regarding, failure.message);
      } catch (error) {
        if (!signal.aborted) this.#lost(regarding, error instanceof Error ? error.message : String(error));
      }
    }
    this.#writing = false;
  }

  #lost({ kind, namespace, name }: Regarding, reason: string): void {
    this.#options.onEvent({ event: 'status.event_lost', resource: `${kind} ${namespace}/${name}`, reason });
  }
}

function eventDocument({ kind, namespace, name, uid }: Regarding, { type, reason, note }: Transition, at: Date) {
  return {
    apiVersion: 'events.k8s.io/v1',
    kind: 'Event',
    metadata: { namespace, name: `${beginningOf(name)}.${randomBytes(8).toString('hex')}` },
    // MicroTime has six digits.
    eventTime: at.toISOString().replace('Z', '000Z'),
    regarding: { apiVersion: API_VERSION, kind, namespace, name, uid },
    type,
    reason,
    action: 'Status',
    note: firstBytes(note, MAX_NOTE_BYTES),
    reportingController: 'fairlead.dev/operator',
    reportingInstance: hostname().slice(0, MAX_INSTANCE_CHARACTERS),
  };
}

/** As much of a name as leaves room for what makes it unique, and is a name. */
function beginningOf(name: string): string {
  return name.slice(0, MAX_NAME_CHARACTERS).replace(/[^a-z0-9]+$/, '');
}

/** The beginning of a text that fits, whole characters only. */
function firstBytes(text: string, bytes: number): string {
  const { read } = new TextEncoder().encodeInto(text, new Uint8Array(bytes));
  return text.slice(0, read);
}
