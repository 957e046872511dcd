import { type ErrorCode, errorSpec } from './codes.ts';

/** Why a request is not served: a return value, never thrown, since refusing is an everyday outcome. */
export interface Refusal {
  readonly code: ErrorCode;
  /** What happened and what to do, for the caller. Never echoes a value that failed validation. */
  readonly message: string;
  /** The request's parameter at fault, OpenAI's `error.param`. */
  readonly param: string | null;
  readonly retryAfterSeconds: number | undefined;
  /** Further response headers, such as `allow`. */
  readonly headers: Readonly<Record<string, string>>;
}

interface RefusalDetails {
  readonly message?: string;
  readonly param?: string;
  readonly retryAfterSeconds?: number;
  readonly headers?: Readonly<Record<string, string>>;
}

const NO_HEADERS = Object.freeze({});

/** A refusal with the table's message, unless `details` says something more exact. */
export function refuse(code: ErrorCode, details: RefusalDetails = {}): Refusal {
  const spec = errorSpec(code);
  return {
    code,
    message: details.message ?? spec.message,
    param: details.param ?? null,
    retryAfterSeconds: details.retryAfterSeconds ?? spec.retryAfterSeconds,
    headers: details.headers ?? NO_HEADERS,
  };
}

/** Tells a refusal from the value that a function returns otherwise. */
export function isRefusal(value: object): value is Refusal {
  return 'code' in value && 'retryAfterSeconds' in value;
}
