import type { ConsumerEntry } from './consumer-entry.ts';

/** Who calls. */
export interface Caller {
  /** "<namespace>/<name>" of the Consumer; empty for the anonymous. */
  readonly key: string;
  /** For people; "anonymous" for the anonymous. */
  readonly name: string;
  /** Undefined for the anonymous. */
  readonly consumer: ConsumerEntry | undefined;
  /** The end-user that the caller names, a label within the consumer; empty when there is none. */
  readonly user: string;
}

const NAMELESS: Caller = Object.freeze({ key: '', name: 'anonymous', consumer: undefined, user: '' });

/** A caller whom nobody knows. */
export function anonymous(user: string): Caller {
  return user === '' ? NAMELESS : { ...NAMELESS, user };
}

/** A caller who is known. */
export function callerOf(consumer: ConsumerEntry, user: string): Caller {
  return { key: consumer.key, name: consumer.name, consumer, user };
}
