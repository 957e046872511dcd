import { setTimeout as delay } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import type { ApiConnection, Reply } from '../../../operator/api/api-connection.ts';
import type { Condition, PodObject } from './pod-object.ts';
import { type PodProgress, podStatus } from './pod-status.ts';

const STRATEGIC_MERGE_PATCH = 'application/strategic-merge-patch+json';
const RETRY_MS = 300;
const TIMEOUT_MS = 10_000;

/** Tells the API server how a pod is, the latest only, until it has heard it. */
export class StatusWriter {
  readonly #api: ApiConnection;
  readonly #nodeIp: string;
  readonly #path: string;
  readonly #uid: string;
  readonly #stopped = new AbortController();
  #conditions: readonly Condition[] = [];
  #wanted: Readonly<Record<string, unknown>> | undefined;
  #told: Readonly<Record<string, unknown>> | undefined;
  #telling: Promise<void> | undefined;

  constructor(api: ApiConnection, { metadata }: PodObject, nodeIp: string) {
    this.#api = api;
    this.#nodeIp = nodeIp;
    this.#uid = metadata.uid;
    this.#path = `/api/v1/namespaces/${metadata.namespace}/pods/${metadata.name}`;
  }

  write(pod: PodObject, progress: PodProgress): void {
    const now = `${new Date().toISOString().slice(0, -5)}Z`;
    const status = podStatus(pod, this.#nodeIp, progress, this.#conditions, now);
    this.#conditions = status.conditions as readonly Condition[];
    this.#wanted = status;
    this.#telling ??= this.#tell().finally(() => {
      this.#telling = undefined;
    });
  }

  /** Tells the last, then that the pod may go. */
  async finish(): Promise<void> {
    await this.#telling;
    await this.#insist({
      method: 'DELETE',
      path: this.#path,
      body: {
        kind: 'DeleteOptions',
        apiVersion: 'v1',
        gracePeriodSeconds: 0,
        preconditions: { uid: this.#uid },
      },
    });
    this.stop();
  }

  /** There is nobody left to tell it of. */
  stop(): void {
    this.#stopped.abort();
  }

  async #tell(): Promise<void> {
    // In the next turn: what changes together is told together.
    await delay(0);
    while (this.#wanted && !isDeepStrictEqual(this.#wanted, this.#told) && !this.#stopped.signal.aborted) {
      const status = this.#wanted;
      await this.#insist({
        method: 'PATCH',
        path: `${this.#path}/status`,
        contentType: STRATEGIC_MERGE_PATCH,
        body: { metadata: { uid: this.#uid }, status },
      });
      this.#told = status;
    }
  }

  /** Until it is done, or the object is gone or another. */
  async #insist(request: Parameters<ApiConnection['send']>[0]): Promise<void> {
    const { signal } = this.#stopped;
    while (!signal.aborted) {
      const reply: Reply | undefined = await this.#api
        .send(request, AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)]))
        .catch(() => undefined);
      if (reply?.object !== undefined) return;
      if (reply?.failure?.code === 404 || reply?.failure?.code === 409) return;
      await delay(RETRY_MS, undefined, { signal }).catch(() => undefined);
    }
  }
}
