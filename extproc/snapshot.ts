import type { DataPlaneSnapshot, EndpointSnapshot } from '../telemetry/snapshot.ts';
import type { DataPlane } from './exchange.ts';

/** What metrics are made from. */
export function snapshotOf({ models, load, ledger, nowMs }: DataPlane): DataPlaneSnapshot {
  return {
    ...ledger.tally.snapshot(),
    tableVersion: models.version,
    tableReceivedAtMs: models.receivedAtMs,
    endpoints: models.gateway?.endpointMetrics ? endpointSnapshots(models, load, nowMs()) : undefined,
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
