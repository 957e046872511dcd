import assert from 'node:assert/strict';
import type { UsageReport } from '../../../extproc/admit/usage-report.ts';
import { type Answer, send } from './answer.ts';
import type { Gateway, Manifest } from './gateway.ts';
import { until } from './until.ts';

/** A Consumer, as YAML would have it. */
export function consumer(name: string, spec: Readonly<Record<string, unknown>> = {}): Manifest {
  return { apiVersion: 'fairlead.dev/v1alpha1', kind: 'Consumer', metadata: { name }, spec };
}

/** What a chat asks for, of which a pod that reckons with four bytes a token reads one token. */
const CHAT = { messages: [{ role: 'user', content: 'Hi' }], max_tokens: 1 };

/** Somebody who asks a gateway without authentication, by the name in his `user` header. */
export class ApiCaller {
  readonly #gateway: Gateway;
  /** Empty for who has no name. */
  readonly name: string;

  constructor(gateway: Gateway, name = '') {
    this.#gateway = gateway;
    this.name = name;
  }

  get headers(): Record<string, string> {
    return this.name === '' ? {} : { user: this.name };
  }

  /** A chat of one token of answer, unless told otherwise. */
  ask(model: string, more: object = {}): Promise<Answer> {
    return this.post('/v1/chat/completions', { model, ...CHAT, ...more });
  }

  post(path: string, body: unknown): Promise<Answer> {
    return send(this.#gateway.url, `POST ${path}`, { headers: this.headers, body });
  }

  /** The beginning of an answer, for who may go before its end. */
  begin(model: string, more: object = {}, signal?: AbortSignal): Promise<Response> {
    const init = { headers: this.headers, ...(signal && { signal }) };
    return this.#gateway.chat(model, init, { ...CHAT, stream: true, ...more });
  }

  async usage(): Promise<UsageReport> {
    const answer = await send(this.#gateway.url, 'GET /v1/usage', { headers: this.headers });
    assert.equal(answer.status, 200, answer.body);
    return JSON.parse(answer.body) as UsageReport;
  }

  /** What is used of each of his limits, in their order. */
  async used(): Promise<number[]> {
    return (await this.usage()).limits.map(({ used }) => used);
  }

  /** Waits until that much is used of his limits, in their order. */
  async untilUsed(...expected: readonly number[]): Promise<void> {
    let seen: number[] = [];
    const isReached = async () => {
      seen = await this.used();
      return expected.every((amount, i) => seen[i] === amount) && seen.length === expected.length;
    };
    await until(`${expected} used by ${this.name}`, isReached).catch(error => {
      throw new Error(`${error.message}, where it is ${seen}`);
    });
  }

  /** Waits until he is a Consumer, with so many limits. */
  async untilKnown(limits = 0): Promise<void> {
    await until(`${this.name} with ${limits} limits`, async () => {
      const usage = await this.usage();
      return usage.consumer === this.name && usage.limits.length === limits;
    });
  }
}

/**
 * The answer is 429 by a limit, in OpenAI's shape.
 *
 * @returns seconds after which to ask again, told in header and body alike; undefined where neither tells
 */
export function assertLimited(
  { status, headers, body }: Answer,
  message: RegExp,
  code = 'rate_limit_exceeded',
): number | undefined {
  assert.equal(status, 429, body);
  const { error } = JSON.parse(body) as { readonly error: Readonly<Record<string, unknown>> };
  const { message: said, retry_after: retryAfter, ...kind } = error;
  assert.deepEqual(kind, { code, type: 'rate_limit_error', param: null });
  assert.match(String(said), message);
  assert.equal(headers.get('retry-after'), retryAfter === undefined ? null : String(retryAfter));
  return retryAfter as number | undefined;
}
