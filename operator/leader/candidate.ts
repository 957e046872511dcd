import type { Lease } from './lease.ts';

/** How long things take in an election, milliseconds. */
export interface ElectionTiming {
  /** A lease that was not renewed for so long may be taken by others. */
  readonly leaseMs: number;
  /**
   * A leader that could not renew for so long leads no more. Shorter than the lease: the ratio of both is by how much
   * clocks may differ in speed.
   */
  readonly renewDeadlineMs: number;
  /** From one renewal to the next. */
  readonly renewMs: number;
  /** How often a standby looks: that fast it takes a lease that was given up. */
  readonly standbyMs: number;
}

/** client-go's, which every component of Kubernetes uses; a standby there looks as seldom as a leader renews. */
export const DEFAULT_TIMING: ElectionTiming = {
  leaseMs: 15_000,
  renewDeadlineMs: 10_000,
  renewMs: 2_000,
  standbyMs: 1_000,
};

/** A lease that says it is for longer is not believed, milliseconds: its holder may be dead. */
const MAX_LEASE_MS = 60_000;

/**
 * - `standby`: another may lead.
 * - `leading`: nobody else does.
 * - `suspended`: the lease could not be renewed in time, and nobody else is known to have it. Another may lead.
 */
export type LeaderState = 'standby' | 'leading' | 'suspended';

/** What a candidate knows. All times are those of its own clock: it never compares them with what a lease says. */
export interface Candidate {
  readonly identity: string;
  /** As last read or written; undefined when there was none. */
  readonly lease: Lease | undefined;
  /** Whether the API server has `lease` as far as is known: false at first, and after a write that failed. */
  readonly current: boolean;
  /** Until then another may lead. */
  readonly otherUntilMs: number;
  /** When the last write was sent that made the lease ours; undefined while it is not. */
  readonly heldSinceMs: number | undefined;
}

export function newCandidate(identity: string): Candidate {
  return {
    identity,
    lease: undefined,
    current: false,
    otherUntilMs: Number.NEGATIVE_INFINITY,
    heldSinceMs: undefined,
  };
}

/** What to do: read the lease, or write it as ours in place of the one that is known. */
export function nextStep(candidate: Candidate, nowMs: number): 'read' | 'write' {
  return candidate.current && nowMs >= candidate.otherUntilMs ? 'write' : 'read';
}

/** The lease was read; undefined when there is none. `nowMs` is after the answer came. */
export function afterRead(
  candidate: Candidate,
  lease: Lease | undefined,
  nowMs: number,
  { leaseMs }: ElectionTiming,
): Candidate {
  // To delete a lease is not to give it up: who held it still leads for a while, and nobody else took it.
  if (lease === undefined) return { ...candidate, lease, current: true };
  const read = { ...candidate, lease, current: true };
  if (lease.holder === candidate.identity) return { ...read, otherUntilMs: Number.NEGATIVE_INFINITY };
  if (lease.holder === '') return { ...read, otherUntilMs: Number.NEGATIVE_INFINITY, heldSinceMs: undefined };
  // Or edited by somebody, which is as good a reason to wait.
  const renewed = lease.resourceVersion !== candidate.lease?.resourceVersion;
  // Whoever holds it leads for what we would, or for longer when it says so.
  const otherMs = Math.max(leaseMs, Math.min(lease.durationMs, MAX_LEASE_MS));
  return { ...read, heldSinceMs: undefined, otherUntilMs: renewed ? nowMs + otherMs : candidate.otherUntilMs };
}

/**
 * The lease was written, and is as the API server answered. `sentMs` is before the request was: others saw the lease later than that, so that they
 * wait longer than we lead.
 */
export function afterWrite(candidate: Candidate, lease: Lease, sentMs: number): Candidate {
  const heldSinceMs = lease.holder === candidate.identity ? sentMs : undefined;
  return { ...candidate, lease, current: true, otherUntilMs: Number.NEGATIVE_INFINITY, heldSinceMs };
}

/** Writing it failed, or nobody knows. */
export function afterFailedWrite(candidate: Candidate): Candidate {
  return { ...candidate, current: false };
}

export function leaderState(candidate: Candidate, nowMs: number, timing: ElectionTiming): LeaderState {
  const untilMs = leadsUntilMs(candidate, timing);
  if (untilMs === undefined) return 'standby';
  return nowMs < untilMs ? 'leading' : 'suspended';
}

/** When a lease of ours that is not renewed stops making us the leader; undefined when it is not ours. */
export function leadsUntilMs({ heldSinceMs }: Candidate, { renewDeadlineMs }: ElectionTiming): number | undefined {
  return heldSinceMs === undefined ? undefined : heldSinceMs + renewDeadlineMs;
}
