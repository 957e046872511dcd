import type { PushOrder } from './push-order.ts';

/** Rules of a client that collects changes until it is told that they are complete. */
export interface AtomicRules {
  /** Of the collected resources, in the order in which they are sent. */
  readonly types: readonly string[];
  /** The type whose responses say that everything before them is complete. It must change with every update. */
  readonly completedBy: string;
}

/**
 * All changes of all types at one instant, the completing type last; the next lot when all of them are answered.
 *
 * The completing response goes out only at an instant at which nothing else is unsent, and a stream keeps its order:
 * so when it arrives, what the client has collected is exactly the server's state at that instant. Updates that come
 * while a lot is in flight are taken together, so that a slow client skips states instead of falling behind.
 */
export function atomic(rules: AtomicRules): PushOrder {
  const everything = { upsert: () => true, removal: () => true };
  const types = [...rules.types, rules.completedBy];
  return {
    types,
    expected: types,
    resendWith: new Map(),
    // Such a client takes all that it does not name.
    resendBlameless: false,
    push(stream) {
      if (stream.types.some(type => !type.idle)) return;
      const collected = stream.types.filter(type => type.typeUrl !== rules.completedBy);
      for (const type of collected) stream.send(type, everything);
      if (collected.some(type => type.hasUnsent)) return;
      for (const type of stream.types) if (type.typeUrl === rules.completedBy) stream.send(type, everything);
    },
  };
}
