import { z } from 'zod';

const times = z.int().min(1).optional();

/**
 * What a pod can be told to do wrong. `times`: for so many requests, and then well again; without it, until cleared.
 * Only inference requests suffer (health, metrics and the model list do not), but for `refuse`.
 */
export const faultSchema = z.discriminatedUnion('kind', [
  /** The listening socket closes, so that connects are refused; with `dropConnections` the open ones are reset too. */
  z.strictObject({ kind: z.literal('refuse'), dropConnections: z.boolean().optional() }),
  /** Answers at once with this status and, unless a body is given, an engine's error JSON. */
  z.strictObject({
    kind: z.literal('status'),
    status: z.int().min(400).max(599),
    body: z.string().optional(),
    contentType: z.string().optional(),
    retryAfterSeconds: z.int().min(0).optional(),
    times,
  }),
  /** Reads the request and resets the connection. */
  z.strictObject({ kind: z.literal('reset-before-headers'), times }),
  /** Resets the connection after so many tokens (default 3) of a stream, or in the middle of a JSON answer. */
  z.strictObject({ kind: z.literal('reset-mid-stream'), afterTokens: z.int().min(0).optional(), times }),
  /** Says nothing any more: not even headers, or after so many tokens of a stream (or half a JSON answer). */
  z.strictObject({ kind: z.literal('stall'), afterTokens: z.int().min(0).optional(), times }),
  /** Sends all of the answer but its end, and that so much later. */
  z.strictObject({ kind: z.literal('slow-close'), holdMs: z.int().min(1), times }),
]);

export type Fault = z.infer<typeof faultSchema>;
/** A fault that strikes single requests. */
export type RequestFault = Exclude<Fault, { kind: 'refuse' }>;

/** Tokens of a stream that a `reset-mid-stream` lets pass unless it says otherwise. */
export const RESET_AFTER_TOKENS = 3;

/** The faults in force: the oldest one that is not used up strikes. */
export class FaultQueue {
  #faults: { readonly fault: RequestFault; left: number }[] = [];

  add(fault: RequestFault): void {
    this.#faults.push({ fault, left: fault.times ?? Number.POSITIVE_INFINITY });
  }

  clear(): void {
    this.#faults = [];
  }

  /** The fault for the request that is now to be answered, and one time less of it. */
  take(): RequestFault | undefined {
    const first = this.#faults[0];
    if (!first) return undefined;
    first.left--;
    if (first.left === 0) this.#faults.shift();
    return first.fault;
  }
}
