import type { PushOrder, PushStream } from './push-order.ts';
import type { TypeState } from './type-state.ts';

/** Rules of a client that uses each response as it comes, such as Envoy: make before break. */
export interface SequencedRules {
  /** Upserts go in this order, removals in the reverse one, after all upserts of their update were answered. */
  readonly types: readonly string[];
  /**
   * By type: earlier types that must have answered everything up to an upsert's own update before it goes out.
   * Envoy answers a cluster only once it is warm, for which it needs the endpoints: so routes may wait for clusters,
   * endpoints may not.
   */
  readonly awaits: Readonly<Record<string, readonly string[]>>;
  /** Pairs [a, b]: when resource X of type a is sent, X of type b is sent again, if the client subscribed to it. */
  readonly resendWith: readonly (readonly [changed: string, resent: string])[];
  /** A client that has not subscribed to all of these has not settled anything. */
  readonly expected: readonly string[];
}

/** Each type at its own pace, one response in flight each, with the order kept only where the rules ask for it. */
export function sequenced(rules: SequencedRules): PushOrder {
  const { types, awaits, expected } = rules;
  for (const [type, awaited] of Object.entries(awaits)) {
    // Were a type to wait for a later one, two could wait for each other.
    if (awaited.some(other => types.indexOf(other) >= types.indexOf(type)))
      throw new Error(`${type} awaits a later type`);
  }
  const resendWith = new Map<string, string[]>();
  for (const [changed, resent] of rules.resendWith) {
    resendWith.set(changed, [...(resendWith.get(changed) ?? []), resent]);
  }
  return {
    types,
    expected,
    resendWith,
    resendBlameless: true,
    push(stream) {
      pushUpserts(stream, awaits);
      if (!stream.removalsHeld) pushRemovals(stream);
    },
  };
}

function pushUpserts(stream: PushStream, awaits: SequencedRules['awaits']): void {
  for (const type of stream.types) {
    if (!type.idle) continue;
    const awaited = awaits[type.typeUrl] ?? [];
    const answeredBefore = oldestUpsert(stream.types.filter(other => awaited.includes(other.typeUrl)));
    const tooLong = stream.heldTooLong(type);
    let held = false;
    const upsert = (sequence: number) => {
      const open = sequence < answeredBefore || tooLong;
      held ||= !open;
      return open;
    };
    stream.send(type, { upsert, removal: () => false });
    stream.hold(type, held);
  }
}

function pushRemovals(stream: PushStream): void {
  const upsertsAnsweredBefore = oldestUpsert(stream.types);
  let laterAnsweredBefore = Number.POSITIVE_INFINITY;
  for (const type of stream.types.toReversed()) {
    const answeredBefore = Math.min(upsertsAnsweredBefore, laterAnsweredBefore);
    // Taken before sending: what is sent now is not answered yet either.
    laterAnsweredBefore = Math.min(laterAnsweredBefore, type.oldest().removal);
    if (type.idle) stream.send(type, { upsert: () => false, removal: sequence => sequence < answeredBefore });
  }
}

function oldestUpsert(types: readonly TypeState[]): number {
  return Math.min(...types.map(type => type.oldest().upsert));
}
