import type { ApiConnection, ApiRequest } from '../api/api-connection.ts';
import type { ApiFailure } from '../api/api-failure.ts';
import {
  afterFailedWrite,
  afterRead,
  afterWrite,
  type Candidate,
  DEFAULT_TIMING,
  type ElectionTiming,
  type LeaderState,
  leaderState,
  leadsUntilMs,
  newCandidate,
  nextStep,
} from './candidate.ts';
import { type Clock, SYSTEM_CLOCK } from './clock.ts';
import { LastingSuspension } from './lasting-suspension.ts';
import { heldLease, type Lease, readLease, releasedLease } from './lease.ts';

/** What happens in an election, ready to be logged. */
export type ElectionEvent =
  /** `holder`: of the lease, as far as is known; empty when nobody is. */
  | { readonly event: 'leader.changed'; readonly state: LeaderState; readonly holder: string }
  /** The lease cannot be read or written; told once for each reason in a row. */
  | { readonly event: 'leader.lease_failed'; readonly reason: string };

interface ElectionOptions {
  readonly api: Pick<ApiConnection, 'send'>;
  readonly lease: { readonly namespace: string; readonly name: string };
  /** Of this process and no other, ever: a process that was restarted must not take the lease of the one before it. */
  readonly identity: string;
  /**
   * Ends it: the state is `standby` at once, then the lease is given up. Abort it when nothing that only a leader does
   * goes on any more.
   */
  readonly signal: AbortSignal;
  /** Called when the state is another one; it is `standby` at first. */
  readonly onState: (state: LeaderState) => void;
  /**
   * Called now and then while we are suspended, from a minute on: another may lead, and only we do not know. Whoever
   * follows us should look again who is the leader.
   */
  readonly onDoubt?: () => void;
  readonly onEvent?: (event: ElectionEvent) => void;
  readonly timing?: ElectionTiming;
  readonly clock?: Clock;
}

/** How often a write that somebody else was faster with is tried again at once. */
const CONFLICTS_AT_ONCE = 1;

/**
 * Takes part in the election of a leader by a Lease until `signal` is aborted, whatever happens to the API server. A
 * leader that is cut off stops leading before any other begins, as long as clocks run about equally fast.
 *
 * The protocol is that of https://pkg.go.dev/k8s.io/client-go/tools/leaderelection, but for what follows the loss of the
 * lease: client-go's process is to exit, this one goes on as a candidate.
 */
export class Election {
  /** Done when the lease was given up, or could not be; never rejects. */
  readonly ended: Promise<void>;
  readonly #options: ElectionOptions;
  readonly #timing: ElectionTiming;
  readonly #clock: Clock;
  #candidate: Candidate;
  #told: LeaderState = 'standby';
  #toldHolder = '';
  #lastFailure: string | undefined;
  readonly #suspension: LastingSuspension;
  #callOffDeadline = () => {};

  constructor(options: ElectionOptions) {
    const { identity, signal, onDoubt = () => {}, timing = DEFAULT_TIMING, clock = SYSTEM_CLOCK } = options;
    this.#options = options;
    this.#timing = timing;
    this.#clock = clock;
    this.#candidate = newCandidate(identity);
    this.#suspension = new LastingSuspension(clock, onDoubt);
    signal.addEventListener('abort', () => this.#settle(), { once: true });
    this.ended = this.#run();
  }

  /** As of now by the clock: true also for a process that slept through its deadline. */
  get state(): LeaderState {
    if (this.#options.signal.aborted) return 'standby';
    return leaderState(this.#candidate, this.#clock.nowMs(), this.#timing);
  }

  async #run(): Promise<void> {
    const { signal } = this.#options;
    while (!signal.aborted) {
      const beganMs = this.#clock.nowMs();
      await this.#attempt();
      const periodMs = this.#candidate.heldSinceMs === undefined ? this.#timing.standbyMs : this.#timing.renewMs;
      await this.#pause(beganMs + periodMs - this.#clock.nowMs());
    }
    const { heldSinceMs, current } = this.#candidate;
    // Also when a write of ours may have reached the API server though nobody said so.
    if (heldSinceMs !== undefined || !current) await this.#release();
  }

  /** Looks at the lease and takes or renews it when that may be done. */
  async #attempt(): Promise<void> {
    for (let conflicts = 0; conflicts <= CONFLICTS_AT_ONCE; conflicts += 1) {
      if (this.#nextStep() === 'read' && !(await this.#read())) return;
      if (this.#options.signal.aborted) return;
      if (this.#nextStep() === 'read') {
        this.#lastFailure = undefined;
        return;
      }
      const { lease, identity } = this.#candidate;
      const document = heldLease(lease, identity, this.#timing.leaseMs, new Date());
      if ((await this.#write(lease, document)) !== 'conflict') return;
    }
  }

  /** Gives the lease up if it is ours; tries twice, since a renewal may still have been on its way. */
  async #release(): Promise<void> {
    for (let conflicts = 0; conflicts <= CONFLICTS_AT_ONCE; conflicts += 1) {
      if (!(await this.#read())) return;
      const { lease, identity } = this.#candidate;
      if (lease?.holder !== identity) return;
      if ((await this.#write(lease, releasedLease(lease, new Date()))) !== 'conflict') return;
    }
  }

  #nextStep(): 'read' | 'write' {
    return nextStep(this.#candidate, this.#clock.nowMs());
  }

  /** Gives whether it is known now. */
  async #read(): Promise<boolean> {
    const { object, failure } = await this.#ask({ method: 'GET', path: this.#path() });
    const lease = readLease(object);
    if (failure?.code !== 404 && lease === undefined) {
      this.#failed(failure?.message ?? 'the answer is not a lease');
      return false;
    }
    this.#candidate = afterRead(this.#candidate, lease, this.#clock.nowMs(), this.#timing);
    this.#settle();
    return true;
  }

  async #write(before: Lease | undefined, document: Readonly<Record<string, unknown>>) {
    const sentMs = this.#clock.nowMs();
    const { object, failure } = await this.#ask(
      before === undefined
        ? { method: 'POST', path: this.#collectionPath(), body: { ...document, metadata: this.#options.lease } }
        : { method: 'PUT', path: this.#path(), body: document },
    );
    const lease = readLease(object);
    if (lease === undefined) {
      this.#candidate = afterFailedWrite(this.#candidate);
      if (failure?.code === 409) return 'conflict';
      this.#failed(failure?.message ?? 'the answer is not a lease');
      return 'failed';
    }
    this.#candidate = afterWrite(this.#candidate, lease, sentMs);
    this.#settle();
    this.#lastFailure = undefined;
    return 'written';
  }

  /** Never rejects: a connection that fails has code 0. */
  async #ask(request: ApiRequest): Promise<{ readonly object?: unknown; readonly failure?: ApiFailure }> {
    const abort = new AbortController();
    const limitMs = this.#timing.renewDeadlineMs / 2;
    const callOff = this.#clock.after(limitMs, () => abort.abort(new Error(`no answer for ${limitMs / 1_000} s`)));
    try {
      return await this.#options.api.send(request, abort.signal);
    } catch (error) {
      const reason: unknown = abort.signal.aborted ? abort.signal.reason : error;
      return { failure: { code: 0, message: reason instanceof Error ? reason.message : String(reason) } };
    } finally {
      callOff();
    }
  }

  /** Tells what is different, and sees to it that the deadline is told in time, whatever the API server does. */
  #settle(): void {
    const { state } = this;
    const holder = this.#candidate.lease?.holder ?? '';
    this.#suspension.follow(state === 'suspended');
    this.#callOffDeadline();
    const deadlineMs = leadsUntilMs(this.#candidate, this.#timing);
    if (state === 'leading' && deadlineMs !== undefined) {
      this.#callOffDeadline = this.#clock.after(deadlineMs - this.#clock.nowMs(), () => this.#settle());
    }
    const changed = state !== this.#told;
    if (!changed && holder === this.#toldHolder) return;
    this.#told = state;
    this.#toldHolder = holder;
    if (changed) this.#options.onState(state);
    this.#options.onEvent?.({ event: 'leader.changed', state, holder });
  }

  #failed(reason: string): void {
    if (reason === this.#lastFailure) return;
    this.#lastFailure = reason;
    this.#options.onEvent?.({ event: 'leader.lease_failed', reason });
  }

  #pause(delayMs: number): Promise<void> {
    const { signal } = this.#options;
    return new Promise(resolve => {
      const wake = () => {
        callOff();
        signal.removeEventListener('abort', wake);
        resolve();
      };
      const callOff = this.#clock.after(Math.max(0, delayMs), wake);
      if (signal.aborted) wake();
      else signal.addEventListener('abort', wake, { once: true });
    });
  }

  #collectionPath(): string {
    return `/apis/coordination.k8s.io/v1/namespaces/${this.#options.lease.namespace}/leases`;
  }

  #path(): string {
    return `${this.#collectionPath()}/${this.#options.lease.name}`;
  }
}
