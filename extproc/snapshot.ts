import type { DataPlaneSnapshot, EndpointSnapshot } from '../telemetry/snapshot.ts';
import type { StoreInUse } from './admit/store-in-use.ts';
import type { DataPlane } from './exchange.ts';

interface CountingPlane extends DataPlane {
  readonly store: StoreInUse;
}

/** What metrics are made from. */
export function snapshotOf({ models, load, ledger, admission, store, nowMs }: CountingPlane): DataPlaneSnapshot {
  return {
    ...ledger.tally.snapshot(),
    tableVersion: models.version,
    tableReceivedAtMs: models.receivedAtMs,
    endpoints: models.gateway?.endpointMetrics ? endpointSnapshots(models, load, nowMs()) : undefined,
    limits: {
      ...admission.tally.snapshot(),
      budgets: admission.budgetStates(),
      store: store.isShared ? { up: store.failure === undefined, ...store.counts } : undefined,
    },
  };
}

function endpointSnapshots(models: DataPlane['models'], load: DataPlane['load'], nowMs: number): EndpointSnapshot[] {
  const names = models.endpointNames();
  return [...load.rows(nowMs)].map(({ slot, address, inFlight, processedTokens, reservedTokens, standing }) => ({
    endpoint: names.get(slot) ?? '',
    address,
    inFlight,
    tokens: processedTokens + reservedTokens,
    usable: standing === 'usable',
  }));
}
