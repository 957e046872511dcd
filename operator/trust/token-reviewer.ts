import { createHash } from 'node:crypto';
import type { ApiConnection } from '../api/api-connection.ts';
import { fieldsOf } from '../api/api-failure.ts';
import { readClaims } from './token-claims.ts';

/** Whose a token is found to be. */
export type Verdict =
  /** The account's; `pod` is the pod that it is bound to, when it is bound to one. */
  | { readonly kind: 'accepted'; readonly pod: string | undefined }
  /** Not the account's, and why: trying again with the same token is of no use. */
  | { readonly kind: 'refused'; readonly reason: string }
  /** Not known now, and why. */
  | { readonly kind: 'unknown'; readonly reason: string };

interface TokenReviewerOptions {
  readonly api: Pick<ApiConnection, 'send'>;
  readonly audience: string;
  /** The ServiceAccount whose tokens are accepted. */
  readonly account: { readonly namespace: string; readonly name: string };
}

interface Review {
  readonly verdict: Verdict;
  readonly reviewedAtMs: number;
  readonly expiresAtMs: number;
}

/** For how long a token counts as good, so that one of a deleted pod is of use no longer than this. */
const acceptedMs = 60_000;
/** For how long it counts as bad: short, since an account may just have been created. */
const refusedMs = 10_000;
/**
 * For how long a token that was good counts while the API server does not answer: the control plane can be away for as
 * long as a token lasts (an hour, by the chart), and an agent whose connection broke in the meantime gets back. Never
 * beyond the token's own end.
 */
const graceMs = 3_600_000;
/** A review that takes longer is given up; the agent gives up an attempt after 5 seconds. */
const reviewTimeoutMs = 3_000;
/** As the API server allows for clocks that differ. */
const clockSkewMs = 60_000;
/** Reviews at a time: what strangers can make us ask of the API server. */
const maxPending = 64;
const maxAccepted = 10_000;
const maxRefused = 1_000;
/** Tokens of ServiceAccounts have about 1 KB. */
const maxTokenLength = 16_384;
const FORBIDDEN = 403;
const POD_NAME = 'authentication.kubernetes.io/pod-name';

/**
 * Finds out whether a token is one of the account's by asking the API server (TokenReview), and remembers it for a
 * while under a hash of the token. What the token itself says is reason enough to refuse it without asking.
 */
export class TokenReviewer {
  readonly #options: TokenReviewerOptions;
  readonly #subject: string;
  readonly #accepted = new Map<string, Review>();
  readonly #refused = new Map<string, Review>();
  readonly #pending = new Map<string, Promise<Verdict>>();

  constructor(options: TokenReviewerOptions) {
    this.#options = options;
    this.#subject = `system:serviceaccount:${options.account.namespace}:${options.account.name}`;
  }

  /** Whose `token` is. Does not reject. */
  async review(token: string): Promise<Verdict> {
    const claims = token.length <= maxTokenLength ? readClaims(token) : undefined;
    if (claims === undefined) return refused('it is no token of a ServiceAccount');
    const { audience, account } = this.#options;
    if (!claims.audiences.includes(audience)) {
      return refused(`its audience is ${shown(claims.audiences.join(', '))}, not ${audience}`);
    }
    if (claims.subject !== this.#subject) {
      return refused(`it is of ${shown(claims.subject)}, not of ServiceAccount ${account.namespace}/${account.name}`);
    }
    const nowMs = Date.now();
    if (claims.expiresAtMs + clockSkewMs < nowMs) {
      return refused(`it expired at ${new Date(claims.expiresAtMs).toISOString()}`);
    }
    const key = createHash('sha256').update(token).digest('base64');
    return this.#remembered(key, nowMs) ?? this.#ask(key, token, claims.expiresAtMs);
  }

  #remembered(key: string, nowMs: number): Verdict | undefined {
    const accepted = this.#accepted.get(key);
    if (accepted && nowMs < accepted.reviewedAtMs + acceptedMs) return accepted.verdict;
    const refusal = this.#refused.get(key);
    return refusal && nowMs < refusal.reviewedAtMs + refusedMs ? refusal.verdict : undefined;
  }

  /** One request for all that ask at once. */
  #ask(key: string, token: string, expiresAtMs: number): Promise<Verdict> {
    const pending = this.#pending.get(key);
    if (pending) return pending;
    if (this.#pending.size >= maxPending) {
      return Promise.resolve(this.#withGrace(key, { kind: 'unknown', reason: 'too many tokens are being reviewed' }));
    }
    const asked = this.#request(token)
      .then(verdict => this.#remember(key, verdict, expiresAtMs))
      .finally(() => this.#pending.delete(key));
    this.#pending.set(key, asked);
    return asked;
  }

  #remember(key: string, verdict: Verdict, expiresAtMs: number): Verdict {
    if (verdict.kind === 'unknown') return this.#withGrace(key, verdict);
    const review: Review = { verdict, reviewedAtMs: Date.now(), expiresAtMs };
    this.#accepted.delete(key);
    this.#refused.delete(key);
    if (verdict.kind === 'accepted') keep(this.#accepted, key, review, maxAccepted);
    else keep(this.#refused, key, review, maxRefused);
    return verdict;
  }

  #withGrace(key: string, unknown: Verdict): Verdict {
    const before = this.#accepted.get(key);
    const nowMs = Date.now();
    if (before === undefined || nowMs >= Math.min(before.reviewedAtMs + graceMs, before.expiresAtMs)) return unknown;
    return before.verdict;
  }

  /** https://kubernetes.io/docs/reference/kubernetes-api/authentication-resources/token-review-v1/ */
  async #request(token: string): Promise<Verdict> {
    const { api, audience } = this.#options;
    const body = {
      apiVersion: 'authentication.k8s.io/v1',
      kind: 'TokenReview',
      spec: { token, audiences: [audience] },
    };
    const path = '/apis/authentication.k8s.io/v1/tokenreviews';
    try {
      const { object, failure } = await api.send({ method: 'POST', path, body }, AbortSignal.timeout(reviewTimeoutMs));
      if (failure === undefined) return this.#judge(fieldsOf(fieldsOf(object).status));
      const remedy = "grant the operator's ServiceAccount create on tokenreviews.authentication.k8s.io";
      return unknown(failure.code === FORBIDDEN ? `${failure.message}: ${remedy}` : failure.message);
    } catch (error) {
      return unknown(error instanceof Error ? error.message : String(error));
    }
  }

  #judge(status: Readonly<Record<string, unknown>>): Verdict {
    const { audience } = this.#options;
    const user = fieldsOf(status.user);
    if (status.authenticated !== true) return refused(String(status.error ?? 'the API server does not know it'));
    // An API server that does not know audiences names none: https://kubernetes.io/docs/reference/access-authn-authz/
    if (!Array.isArray(status.audiences) || !status.audiences.includes(audience)) {
      return refused(`the API server does not vouch for audience ${audience}`);
    }
    if (user.username !== this.#subject) return refused(`it is of ${shown(String(user.username))}`);
    const pods = fieldsOf(user.extra)[POD_NAME];
    return { kind: 'accepted', pod: Array.isArray(pods) ? String(pods[0]) : undefined };
  }
}

/** The oldest gives way. */
function keep(reviews: Map<string, Review>, key: string, review: Review, limit: number): void {
  reviews.set(key, review);
  for (const oldest of reviews.keys()) {
    if (reviews.size <= limit) break;
    reviews.delete(oldest);
  }
}

function refused(reason: string): Verdict {
  return { kind: 'refused', reason };
}

function unknown(reason: string): Verdict {
  return { kind: 'unknown', reason: `the API server cannot tell whose the token is: ${reason}` };
}

/** A stranger's words in our logs and status messages: short, and nothing but printable ASCII. */
function shown(text: string): string {
  return JSON.stringify(text.slice(0, 100)).replace(/[^ -~]/g, '?');
}
