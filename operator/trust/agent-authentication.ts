import { type Metadata, status } from '@grpc/grpc-js';
import { fieldsOf } from '../api/api-failure.ts';
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
const BEARER = /^Bearer +(\S+)$/i;

/**
 * Serves agents that show a token of their ServiceAccount, and lets each speak for the pod that its token is bound to
 * only: an agent's node id is the name of its pod. A token that ends does not end a stream.
 */
export function agentAuthentication({ reviewer, onEvent }: AgentAuthenticationOptions) {
  const counts: StreamCounts = { admitted: 0, refused: 0, deferred: 0 };
  const peers = new Map<string, { toldAtMs: number; untold: number }>();

  const tell = (peer: string, reason: string): void => {
    // Every connection comes from another port.
    const host = peer.replace(/:\d+$/, '');
    const told = peers.get(host);
    const nowMs = performance.now();
    if (told && nowMs < told.toldAtMs + eventIntervalMs) {
      told.untold += 1;
      return;
    }
    peers.delete(host);
    peers.set(host, { toldAtMs: nowMs, untold: 0 });
    const [oldest] = peers.keys();
    if (peers.size > maxPeers && oldest !== undefined) peers.delete(oldest);
    onEvent?.({ event: 'agent.unauthenticated', peer: host, reason, untold: told?.untold ?? 0 });
  };

  const refuse = (peer: string, reason: string) => {
    counts.refused += 1;
    tell(peer, reason);
    return { code: status.UNAUTHENTICATED, details: reason };
  };

  const authenticate = async (metadata: Metadata, peer: string) => {
    const token = BEARER.exec(String(metadata.get('authorization')[0] ?? ''))?.[1];
    if (token === undefined) return refuse(peer, 'no token: start the agent with --control-plane-token');
    const verdict = await reviewer.review(token);
    if (verdict.kind === 'refused') return refuse(peer, `the token is refused: ${verdict.reason}`);
    if (verdict.kind === 'unknown') {
      counts.deferred += 1;
      tell(peer, verdict.reason);
      return { code: status.UNAVAILABLE, details: verdict.reason };
    }
    counts.admitted += 1;
    const { pod } = verdict;
    return {
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
