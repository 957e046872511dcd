import assert from 'node:assert/strict';

/** A whole answer of the gateway. */
export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly body: string;
}

interface Request {
  readonly headers?: Readonly<Record<string, string>>;
  /** Bytes as they are; anything but text and bytes is sent as JSON. */
  readonly body?: unknown;
}

/** Sends `METHOD /path?query`, by default as application/json where there is a body. */
export async function send(url: string, line: string, { headers = {}, body }: Request = {}): Promise<Answer> {
  const [method = '', path = ''] = line.split(' ', 2);
  const hasBody = body !== undefined;
  const response = await fetch(`${url}${path}`, {
    method,
    headers: { ...(hasBody && { 'content-type': 'application/json' }), ...headers },
    ...(hasBody && { body: bytesOf(body) }),
  });
  return { status: response.status, headers: response.headers, body: await response.text() };
}

function bytesOf(body: unknown): Uint8Array<ArrayBuffer> {
  if (body instanceof Uint8Array) return new Uint8Array(body);
  return new Uint8Array(Buffer.from(typeof body === 'string' ? body : JSON.stringify(body)));
}

/** An error as api.md §3 describes it. */
export interface ExpectedError {
  readonly status: number;
  readonly code: string;
  readonly type?: string;
  readonly param?: string | null;
  readonly message: string | RegExp;
  /** Seconds. */
  readonly retryAfter?: number;
}

type Told = Pick<Answer, 'status' | 'headers' | 'body'>;

/** The answer is that error, in OpenAI's shape and with its headers. */
export function assertOpenAiError(answer: Told, expected: ExpectedError): void {
  const { code, type = 'invalid_request_error', param = null, message, retryAfter } = expected;
  const error = errorOf(answer, expected).error;
  assert.deepEqual(
    { ...error, message: undefined },
    { code, type, param, message: undefined, ...(retryAfter !== undefined && { retry_after: retryAfter }) },
  );
  assertMessage(error.message, message);
}

/** The answer is that error, in Anthropic's shape, of which `type` is Anthropic's. */
export function assertAnthropicError(answer: Told, expected: Omit<ExpectedError, 'code'>): void {
  const body = errorOf(answer, expected);
  assert.deepEqual(Object.keys(body), ['type', 'error']);
  assert.equal(body.type, 'error');
  assert.deepEqual(Object.keys(body.error), ['type', 'message']);
  assert.equal(body.error.type, expected.type ?? 'invalid_request_error');
  assertMessage(body.error.message, expected.message);
}

function errorOf({ status, headers, body }: Told, expected: Omit<ExpectedError, 'code'>) {
  assert.equal(status, expected.status, body);
  assert.equal(headers.get('content-type'), 'application/json');
  assert.equal(headers.get('retry-after'), expected.retryAfter?.toString() ?? null);
  assert.equal(headers.get('content-length'), String(Buffer.byteLength(body)));
  return JSON.parse(body) as {
    readonly type?: string;
    readonly error: { readonly type: string; readonly message: string; readonly [field: string]: unknown };
  };
}

function assertMessage(message: string, expected: string | RegExp): void {
  if (typeof expected === 'string') assert.equal(message, expected);
  else assert.match(message, expected);
}
