import type { ConnectedAgent } from '../publish/publisher.ts';

/** What is read of who publishes the table. Versions are numbered; a resource's last change is in one of them. */
export interface TableProgress {
  /** Number of the last published version; 0 before the first. */
  readonly sequence: number;
  /** Number of the version in which the gateway changed last. */
  readonly gatewayChangedIn: number;
  /** Number of the version in which a model, "<namespace>/<name>", or an endpoint of it changed last. */
  changedIn(model: string): number;
  /** Number of the version in which a consumer, "<namespace>/<name>", changed last. */
  consumerChangedIn(consumer: string): number;
  /** Number of a version; undefined when it is none of this process or too old. */
  sequenceOf(version: string): number | undefined;
  /** Agents with an open stream. */
  agents(): readonly ConnectedAgent[];
}

/** A connected agent, as far as it follows the table. */
export interface FleetAgent {
  readonly nodeId: string;
  /** Number of the last version that its Envoy was seen to have; 0 for none. An Envoy that restarts does not lose it. */
  readonly follows: number;
  /** Number of the last version when it connected: of what changed before, it is not expected to report anything. */
  readonly joinedAt: number;
  /** Since when it is behind without any progress, milliseconds; undefined while it follows the last version. */
  readonly silentSinceMs: number | undefined;
}

/** All connected agents. */
export interface Fleet {
  readonly agents: readonly FleetAgent[];
  /** Since when no agent is connected, milliseconds; undefined while one is. */
  readonly goneSinceMs: number | undefined;
}

/** The fleet as it is at `nowMs`, by a clock that only runs forward, given what was known of it before. */
export function nextFleet(before: Fleet | undefined, progress: TableProgress, nowMs: number): Fleet {
  const known = new Map(before?.agents.map(agent => [agent.nodeId, agent]));
  const agents = progress.agents().map(agent => nextAgent(known.get(agent.nodeId), agent, progress, nowMs));
  return { agents, goneSinceMs: agents.length > 0 ? undefined : (before?.goneSinceMs ?? nowMs) };
}

function nextAgent(
  before: FleetAgent | undefined,
  { nodeId, report }: ConnectedAgent,
  progress: TableProgress,
  nowMs: number,
): FleetAgent {
  const reported = report?.envoyReady ? (progress.sequenceOf(report.tableVersion) ?? 0) : 0;
  const follows = Math.max(reported, before?.follows ?? 0);
  const joinedAt = before?.joinedAt ?? progress.sequence;
  if (follows >= progress.sequence) return { nodeId, follows, joinedAt, silentSinceMs: undefined };
  const progressed = before !== undefined && follows > before.follows;
  return { nodeId, follows, joinedAt, silentSinceMs: progressed ? nowMs : (before?.silentSinceMs ?? nowMs) };
}
