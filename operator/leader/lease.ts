import { fieldsOf } from '../api/api-failure.ts';

type Fields = Readonly<Record<string, unknown>>;

/** A `coordination.k8s.io/v1 Lease`, as the API server has it. */
export interface Lease {
  /** Who holds it; empty when nobody does. */
  readonly holder: string;
  /** For how long a holder that does not renew it is to be waited for, milliseconds; 0 when it does not say. */
  readonly durationMs: number;
  /** Differs after every write, so after every renewal. Times in it do not: a wall clock may stand still. */
  readonly resourceVersion: string;
  /** As read: what is not ours is written back as it was. */
  readonly metadata: Fields;
  readonly spec: Fields;
}

/** int32, as all integers of a Lease. */
const MAX_TRANSITIONS = 2 ** 31 - 1;

/** Undefined for what is no object of the API server. Whatever people wrote into the fields of one can be read. */
export function readLease(object: unknown): Lease | undefined {
  const { metadata, spec } = fieldsOf(object);
  const { resourceVersion } = fieldsOf(metadata);
  if (typeof resourceVersion !== 'string') return undefined;
  const { holderIdentity, leaseDurationSeconds } = fieldsOf(spec);
  return {
    holder: typeof holderIdentity === 'string' ? holderIdentity : '',
    durationMs: typeof leaseDurationSeconds === 'number' ? leaseDurationSeconds * 1_000 : 0,
    resourceVersion,
    metadata: fieldsOf(metadata),
    spec: fieldsOf(spec),
  };
}

/**
 * The document by which `holder` takes or renews a lease. It carries the resourceVersion of the one before, so that it
 * is refused when anybody wrote meanwhile.
 *
 * @param before undefined where there is no lease yet
 * @param now wall clock, for people who read the lease: nothing is decided by it
 */
export function heldLease(before: Lease | undefined, holder: string, durationMs: number, now: Date): Fields {
  const renewTime = microTime(now);
  const { leaseTransitions, acquireTime } = before?.spec ?? {};
  const renewed = before?.holder === holder;
  return leaseDocument(before, {
    holderIdentity: holder,
    leaseDurationSeconds: Math.ceil(durationMs / 1_000),
    acquireTime: renewed && typeof acquireTime === 'string' ? acquireTime : renewTime,
    renewTime,
    leaseTransitions: transitionsAfter(before !== undefined && !renewed, leaseTransitions),
  });
}

/** The document by which its holder gives a lease up: whoever sees it may take it at once. */
export function releasedLease(before: Lease, now: Date): Fields {
  const time = microTime(now);
  return leaseDocument(before, { holderIdentity: '', leaseDurationSeconds: 1, acquireTime: time, renewTime: time });
}

function leaseDocument(before: Lease | undefined, spec: Fields): Fields {
  return {
    apiVersion: 'coordination.k8s.io/v1',
    kind: 'Lease',
    metadata: before?.metadata ?? {},
    spec: { ...before?.spec, ...spec },
  };
}

function transitionsAfter(changesHands: boolean, before: unknown): number {
  const transitions = typeof before === 'number' ? before : 0;
  return changesHands ? Math.min(transitions + 1, MAX_TRANSITIONS) : transitions;
}

/** `meta/v1 MicroTime`, which insists on its six digits. */
function microTime(date: Date): string {
  return date.toISOString().replace('Z', '000Z');
}
