import { type Metadata, status } from '@grpc/grpc-js';
import { fieldsOf } from '../api/api-failure.ts';
import { readClaims } from './token-claims.ts';
import type { TokenReviewer } from './token-reviewer.ts';

/** A stream that was not served, as a log event. */
export interface RefusalEvent {
  readonly event: 'agent.unauthenticated';
  readonly peer: string;
  readonly reason: string;
  /** Others of the same peer since the last event that were not told. */
  readonly untold: number;
}

/** How many streams there were since the start. */
export interface StreamCounts {
  admitted: number;
  /** Without a token that is good. */
  refused: number;
  /** Nobody could tell whether their token is good. */
  deferred: number;
}

interface AgentAuthenticationOptions {
  readonly reviewer: Pick<TokenReviewer, 'review'>;
  onEvent?(event: RefusalEvent): void;
}

/** One event a peer in this time. */
const eventIntervalMs = 30_000;
/** Peers whose events are counted; the one that was told of first gives way. */
const maxPeers = 1_000;
/** Kubelets renew a token when a fifth of its life is left, and an agent opens its streams anew within a minute. */
const outlivesTokenMs = 300_000;
const BEARER = /^Bearer +(\S+)$/i;

/**
 * Serves agents that show a token of their ServiceAccount, and lets each speak for the pod that its token is bound to
 * only: an agent's node id is the name of its pod. A stream ends some minutes after its token: an agent that is still the
 * account's has come again with a newer one by then.
 */
export function agentAuthentication({ reviewer, onEvent }: AgentAuthenticationOptions) {
  const counts: StreamCounts = { admitted: 0, refused: 0, deferred: 0 };
  const peers = new Map<string, { toldAtMs: number; untold: number }>();

  const tell = (peer: string, reason: string): void => {
    const told = peers.get(peer);
    const nowMs = performance.now();
    if (told && nowMs < told.toldAtMs + eventIntervalMs) {
      told.untold += 1;
      return;
    }
    peers.delete(peer);
    peers.set(peer, { toldAtMs: nowMs, untold: 0 });
    const [oldest] = peers.keys();
    if (peers.size > maxPeers && oldest !== undefined) peers.delete(oldest);
    onEvent?.({ event: 'agent.unauthenticated', peer, reason, untold: told?.untold ?? 0 });
  };

  const refuse = (peer: string, reason: string) => {
    counts.refused += 1;
    tell(peer, reason);
    return { code: status.UNAUTHENTICATED, details: reason };
  };

  const authenticate = async (metadata: Metadata, address: string) => {
    // Every connection comes from another port.
    const peer = address.replace(/:\d+$/, '');
    const token = BEARER.exec(String(metadata.get('authorization')[0] ?? ''))?.[1];
    if (token === undefined) return refuse(peer, 'no token: start the agent with --control-plane-token');
    const verdict = await reviewer.review(token);
    if (verdict.kind === 'refused') return refuse(peer, `the token is refused: ${verdict.reason}`);
    if (verdict.kind === 'unknown') {
      counts.deferred += 1;
      tell(peer, verdict.reason);
      // Not UNAVAILABLE: an agent takes that for a broken connection, and comes again at once.
      return { code: status.RESOURCE_EXHAUSTED, details: verdict.reason };
    }
    counts.admitted += 1;
    const { pod } = verdict;
    const expiresAtMs = readClaims(token)?.expiresAtMs;
    return {
      endsAtMs: expiresAtMs === undefined ? undefined : expiresAtMs + outlivesTokenMs,
      objection: (message: unknown) => {
        const nodeId = nodeIdOf(message);
        if (pod === undefined || nodeId === undefined || nodeId === pod) return undefined;
        return refuse(peer, `the token is of pod ${pod}, which may not speak for node "${nodeId.slice(0, 100)}"`);
      },
    };
  };

  const onFailedHandshake = (peer: string, reason: string): void => {
    counts.refused += 1;
    tell(peer, `no TLS: ${reason}. Is the agent started with --control-plane-ca, and is its file up to date?`);
  };

  return { authenticate, onFailedHandshake, counts: counts as Readonly<StreamCounts> };
}

/** Who a message says that it is from: NodeReport.node_id, or DeltaDiscoveryRequest.node.id of a stream's first. */
function nodeIdOf(message: unknown): string | undefined {
  const { nodeId, node } = fieldsOf(message);
  const id = nodeId ?? fieldsOf(node).id;
  return typeof id === 'string' ? id : undefined;
}
