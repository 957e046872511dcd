import { isDeepStrictEqual } from 'node:util';
import { type LimitStoreSettings, limitStoreSettings } from './limit-store-settings.ts';
import type { RouteTable, TableDelta } from './route-table.ts';

/** What has to be told to somebody who holds `from` (nothing, when undefined) so that he holds `to`. */
export function diffTables(from: RouteTable | undefined, to: RouteTable, receivedAtMs: number): TableDelta {
  return {
    version: to.version,
    receivedAtMs,
    gateway: to.gateway === from?.gateway ? undefined : to.gateway,
    models: changed(from?.models, to.models),
    removedModels: removed(from?.models, to.models),
    endpoints: changed(from?.endpoints, to.endpoints),
    removedEndpoints: removed(from?.endpoints, to.endpoints),
    consumers: changed(from?.consumers, to.consumers),
    removedConsumers: removed(from?.consumers, to.consumers),
    agents: to.agents === from?.agents ? undefined : to.agents,
    limitStore: changedStore(from, to),
  };
}

/** Compared by content: a connection is not opened anew because something else of the gateway changed. */
function changedStore(from: RouteTable | undefined, to: RouteTable): LimitStoreSettings | undefined {
  const now = limitStoreSettings(to);
  return from !== undefined && isDeepStrictEqual(limitStoreSettings(from), now) ? undefined : now;
}

function changed<Value>(from: ReadonlyMap<string, Value> | undefined, to: ReadonlyMap<string, Value>) {
  return [...to].filter(([name, value]) => from?.get(name) !== value);
}

function removed(from: ReadonlyMap<string, unknown> | undefined, to: ReadonlyMap<string, unknown>): string[] {
  return from === undefined ? [] : [...from.keys()].filter(name => !to.has(name));
}
