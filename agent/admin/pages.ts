import { renderMetrics } from '../../telemetry/metrics.ts';
import type { RefusedResource } from '../../xds/refused-resources.ts';
import { type DataThread, NoAnswer } from '../ask.ts';
import type { RouteTable } from '../table/route-table.ts';
import { type AdminAnswer, type AdminPage, jsonAnswer } from './admin-server.ts';

/** The state of a node as its agent knows it. */
export interface TableView {
  readonly nodeId: string;
  readonly controlPlane: { readonly address: string; readonly connected: boolean };
  readonly envoy: { readonly connected: boolean; readonly refused: readonly RefusedResource[] };
  /** What requests are picked by; undefined until the first. */
  readonly table: RouteTable | undefined;
  /** Milliseconds since the epoch; 0 until the first. */
  readonly receivedAtMs: number;
  /** What is wrong with the store of limits; empty while all is well. */
  readonly limitStoreFailure: string;
}

/** What whoever runs the node's processes asks: whether to start them again, and whether requests may be sent here. */
export function healthPages(data: DataThread, view: () => TableView): ReadonlyMap<string, AdminPage> {
  return new Map<string, AdminPage>([
    ['/livez', () => inTime(liveness(data))],
    ['/readyz', async () => readiness(view())],
  ]);
}

/** What the admin interface shows. */
export function adminPages(data: DataThread, view: () => TableView): ReadonlyMap<string, AdminPage> {
  return new Map<string, AdminPage>([
    ...healthPages(data, view),
    ['/metrics', () => inTime(metrics(data))],
    ['/table', async () => jsonAnswer(200, describeNode(view()))],
    ['/explain', query => inTime(explain(query.get('model') ?? '', data, view()))],
  ]);
}

/** Both threads answer. Of tables it says nothing: a node that waits for its first is well. */
async function liveness(data: DataThread) {
  await data.alive();
  return jsonAnswer(200, { status: 'ok' });
}

/** Whatever is with the store of limits: the gateway says what holds without it. */
function readiness({ table, envoy }: TableView) {
  const ready = table !== undefined && envoy.connected;
  const missing = table === undefined ? 'no route table yet' : 'Envoy is not connected';
  return ready ? jsonAnswer(200, { status: 'ok' }) : jsonAnswer(503, { status: 'not ready', reason: missing });
}

/** A data thread that does not answer is no mistake of this page's. */
function inTime(answer: Promise<AdminAnswer>): Promise<AdminAnswer> {
  return answer.catch(error => {
    if (error instanceof NoAnswer) return jsonAnswer(503, { error: error.message });
    throw error;
  });
}

async function metrics(data: DataThread) {
  const { contentType, text } = await renderMetrics(await data.snapshot());
  return { status: 200, contentType, body: text };
}

/** What /table answers; `fairlead models` and `fairlead explain` read it. */
export interface NodeDescription {
  readonly node: string;
  readonly controlPlane: TableView['controlPlane'];
  readonly envoy: TableView['envoy'];
  /** `ageSeconds`: since it was received. */
  readonly table: { readonly version: string; readonly ageSeconds: number } | null;
  readonly listeners: readonly string[];
  /** Where what is used of limits is counted; `failure` says why it cannot be. */
  readonly limitStore: { readonly store: 'memory' | 'valkey'; readonly failure: string | null };
  readonly models: readonly ModelDescription[];
}

interface ModelDescription {
  readonly key: string;
  readonly id: string;
  readonly aliases: readonly string[];
  readonly type: string;
  readonly version: string;
  readonly strategy: string;
  /** `ready`: those that take new requests as far as the table says. */
  readonly endpoints: { readonly ready: number; readonly total: number };
}

function describeNode(view: TableView): NodeDescription {
  const { nodeId, controlPlane, envoy, table, receivedAtMs, limitStoreFailure } = view;
  return {
    node: nodeId,
    controlPlane,
    envoy,
    table: table ? { version: table.version, ageSeconds: (Date.now() - receivedAtMs) / 1000 } : null,
    listeners: table?.gateway.listeners.map(({ address, port }) => `${address}:${port}`) ?? [],
    limitStore: {
      store: table?.gateway.limitStore?.valkey ? 'valkey' : 'memory',
      failure: limitStoreFailure || null,
    },
    models: table ? [...table.models.keys()].sort().map(key => describeModel(key, table)) : [],
  };
}

function describeModel(key: string, table: RouteTable): ModelDescription {
  const model = table.models.get(key);
  const groups = model?.backends.map(backend => table.endpoints.get(`${key}/${backend.name}`)?.endpoints ?? []) ?? [];
  const endpoints = groups.flat();
  return {
    key,
    id: model?.id ?? '',
    aliases: model?.aliases ?? [],
    type: model?.type ?? '',
    version: model?.version ?? '',
    strategy: model?.strategy ?? '',
    endpoints: { ready: endpoints.filter(({ draining }) => !draining).length, total: endpoints.length },
  };
}

async function explain(name: string, data: DataThread, view: TableView) {
  const { models: _, ...node } = describeNode(view);
  if (name === '') return jsonAnswer(200, { ...node, model: null });
  const model = await data.explain(name);
  if (model === undefined) return jsonAnswer(404, { ...node, model: null });
  const rejections = view.envoy.refused.filter(({ name }) => name === model.key);
  return jsonAnswer(200, { ...node, model, rejections });
}
