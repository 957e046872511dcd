import type { ConnectedAgent } from '../publish/publisher.ts';
import type { Transition } from './transitions.ts';

/** A store that fails for less is not worth telling, milliseconds. */
const FAILED_AFTER_MS = 2_000;
/** A store that was well for less may fail again, milliseconds. */
const RECOVERED_AFTER_MS = 30_000;

/** Whether gateways reach the store of limits, as far as it was told. */
export interface LimitStoreHealth {
  readonly toldFailed: boolean;
  /** Since when agents say otherwise than was told, milliseconds; undefined while they do not. */
  readonly differsSinceMs: number | undefined;
}

/** What agents say now, how that leaves it at `nowMs`, and what is to be told. */
export interface NextHealth {
  readonly health: LimitStoreHealth;
  readonly transition: Transition | undefined;
  /** How long until there is something to tell if nothing changes, milliseconds; undefined when nothing will be. */
  readonly waitMs: number | undefined;
}

export const STORE_IS_WELL: LimitStoreHealth = { toldFailed: false, differsSinceMs: undefined };

/** What the agents' reports make of it, by a clock that only runs forward. */
export function nextHealth(before: LimitStoreHealth, agents: readonly ConnectedAgent[], nowMs: number): NextHealth {
  const { toldFailed } = before;
  const reports = agents.flatMap(({ report }) => report ?? []);
  const failing = reports.filter(({ limitStoreFailure }) => limitStoreFailure !== '');
  // Without any report nobody knows.
  const isOtherwise = reports.length > 0 && failing.length > 0 !== toldFailed;
  if (!isOtherwise)
    return { health: { toldFailed, differsSinceMs: undefined }, transition: undefined, waitMs: undefined };
  const differsSinceMs = before.differsSinceMs ?? nowMs;
  const waitMs = differsSinceMs + (toldFailed ? RECOVERED_AFTER_MS : FAILED_AFTER_MS) - nowMs;
  if (waitMs > 0) return { health: { toldFailed, differsSinceMs }, transition: undefined, waitMs };
  const [first] = failing;
  const transition: Transition =
    first === undefined
      ? { type: 'Normal', reason: 'LimitStoreRecovered', note: 'every gateway reaches the limit store again' }
      : {
          type: 'Warning',
          reason: 'LimitStoreFailed',
          note: `${failing.length} of ${reports.length} gateways do not reach the limit store; ${first.nodeId}: ${first.limitStoreFailure}`,
        };
  return { health: { toldFailed: !toldFailed, differsSinceMs: undefined }, transition, waitMs: undefined };
}
