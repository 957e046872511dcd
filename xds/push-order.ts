import type { Permit, TypeState } from './type-state.ts';

/** A client's stream as a push order sees it. */
export interface PushStream {
  /** In the declared order; undeclared ones last. */
  readonly types: readonly TypeState[];
  /** The stream is so new that the client may not have named all its types yet: removals wait. */
  readonly removalsHeld: boolean;
  /** Sends what `permit` allows of the changes of an idle type, if anything. */
  send(type: TypeState, permit: Permit): void;
  /** Whether changes of a type have been held back by the order for as long as that may last. */
  heldTooLong(type: TypeState): boolean;
  /** Notes whether the order holds changes of a type back; the stream pushes again when that has lasted too long. */
  hold(type: TypeState, held: boolean): void;
}

/** When which changes go to a client. */
export interface PushOrder {
  readonly types: readonly string[];
  /** A client that has not subscribed to all of these has not settled anything. */
  readonly expected: readonly string[];
  /** By type: types whose resource of the same name is sent again after a change. */
  readonly resendWith: ReadonlyMap<string, readonly string[]>;
  /**
   * Whether what a refused response also brought, and is not blamed for it, is sent again without the culprits. Envoy
   * may have dropped it, and if it did not, it remembers no version of it and cannot tell after a reconnection.
   */
  readonly resendBlameless: boolean;
  /** Sends all that may go now. Called whenever anything changed. */
  push(stream: PushStream): void;
}
