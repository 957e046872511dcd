import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import {
  CONSUMER_TYPE,
  ENDPOINT_GROUP_TYPE,
  FLEET_TYPE,
  GATEWAY_TYPE,
  MODEL_TYPE,
  SECRET_TYPE,
  TABLE_VERSION_TYPE,
} from '../../proto/table-types.ts';
import { atomic } from '../../xds/atomic-order.ts';
import { DeltaServer } from '../../xds/delta-server.ts';
import { createGrpcServer, listenGrpc } from '../../xds/grpc-listen.ts';
import type { Resource } from '../../xds/resource.ts';
import type { RouteTable } from './route-table.ts';
import { type TableEvent, TableFeed } from './table-feed.ts';
import {
  consumerPart,
  endpointsPart,
  fleetPart,
  GARBAGE,
  gatewayPart,
  modelPart,
  secretPart,
  versionPart,
} from './table-parts.fixture.ts';

const NODE = 'node';

/** What a control plane knew before there were consumers. */
const OLDER_TYPES = [GATEWAY_TYPE, MODEL_TYPE, ENDPOINT_GROUP_TYPE, SECRET_TYPE];
const TYPES = [...OLDER_TYPES, CONSUMER_TYPE, FLEET_TYPE];

/** A directory with a control plane's socket and an agent's file; both can come and go. */
class Scene {
  readonly directory: string;
  readonly file: string;
  readonly #stops: (() => Promise<void>)[] = [];

  private constructor(directory: string) {
    this.directory = directory;
    this.file = join(directory, 'table');
  }

  static async open(t: TestContext): Promise<Scene> {
    const scene = new Scene(await mkdtemp(join(tmpdir(), 'fairlead-feed-')));
    t.after(async () => {
      for (const stop of scene.#stops.reverse()) await stop();
      await rm(scene.directory, { recursive: true });
    });
    return scene;
  }

  async controlPlane(types: readonly string[] = TYPES): Promise<{
    publish(version: string, ...parts: Resource[]): Promise<unknown>;
    stop(): Promise<void>;
  }> {
    const server = new DeltaServer({
      order: atomic({ types, completedBy: TABLE_VERSION_TYPE }),
    });
    const grpc = createGrpcServer();
    server.addTo(grpc);
    const stopped = new AbortController();
    const { closed } = await listenGrpc(grpc, this.#address, stopped.signal);
    const stop = async () => {
      server.close();
      stopped.abort();
      await closed;
    };
    this.#stops.push(stop);
    const publish = (version: string, ...parts: Resource[]) =>
      server.settled(NODE, server.replace(version, [...parts, versionPart(version)]), AbortSignal.timeout(20_000));
    return { publish, stop };
  }

  async agent(): Promise<{
    tables: [table: RouteTable, receivedAtMs: number][];
    events: TableEvent[];
    /** The last table is found usable. */
    keep(): void;
    stop(): Promise<void>;
  }> {
    const tables: [table: RouteTable, receivedAtMs: number][] = [];
    const events: TableEvent[] = [];
    const stopped = new AbortController();
    const feed = await TableFeed.open({
      address: this.#address,
      nodeId: NODE,
      file: this.file,
      signal: stopped.signal,
      onTable: (table, receivedAtMs) => tables.push([table, receivedAtMs]),
      onEvent: event => events.push(event),
    });
    const stop = async () => {
      stopped.abort();
      await feed.close();
    };
    this.#stops.push(stop);
    const keep = () => feed.keep(tables.at(-1)?.[0] ?? assert.fail('no table'));
    return { tables, events, keep, stop };
  }

  get #address(): string {
    return `unix:${join(this.directory, 'control-plane')}`;
  }
}

test('each version arrives whole', async t => {
  const scene = await Scene.open(t);
  const { publish } = await scene.controlPlane();
  const { tables } = await scene.agent();
  await publish('1', gatewayPart('1'), modelPart('ml/a', '1'), endpointsPart('ml/a/x', '10.0.0.1:80'));
  await publish('2', gatewayPart('1'), modelPart('ml/b', '1'), endpointsPart('ml/a/x', '10.0.0.2:80'));
  assert.deepEqual(
    tables.map(([{ version, models, endpoints }]) => [
      version,
      [...models.keys()],
      endpoints.get('ml/a/x')?.endpoints[0]?.address,
    ]),
    [
      ['1', ['ml/a'], '10.0.0.1:80'],
      ['2', ['ml/b'], '10.0.0.2:80'],
    ],
  );
});

test('an agent restarted while the control plane is away starts from its file, then takes only what differs', async t => {
  const scene = await Scene.open(t);
  const before = await scene.controlPlane();
  const first = await scene.agent();
  await before.publish('1', gatewayPart('1'), modelPart('ml/a', '1'), modelPart('ml/b', '1'));
  first.keep();
  // Nobody said of this one that it can be used.
  await before.publish('1b', gatewayPart('1'), modelPart('ml/c', '1'));
  await before.stop();
  await first.stop();
  const second = await scene.agent();
  const [restored] = second.tables;
  assert.equal(restored?.[0].version, '1');
  assert.deepEqual([...restored[0].models.keys()], ['ml/a', 'ml/b']);
  assert.equal(restored[1], first.tables[0]?.[1]);
  const after = await scene.controlPlane();
  await after.publish('2', gatewayPart('1'), modelPart('ml/a', '2'));
  assert.equal(second.tables.length, 2);
  assert.deepEqual([...(second.tables[1]?.[0].models.keys() ?? [])], ['ml/a']);
});

test('a file that is damaged is reported, and everything comes from the control plane', async t => {
  const scene = await Scene.open(t);
  await writeFile(scene.file, 'fairlead-table 1 nonsense');
  const { events, tables } = await scene.agent();
  assert.deepEqual(
    events.map(each => ('file' in each ? [each.event, each.file] : each.event)),
    [['table.file_ignored', scene.file]],
  );
  assert.equal(tables.length, 0);
  const { publish } = await scene.controlPlane();
  await publish('1', gatewayPart('1'), modelPart('ml/a', '1'));
  assert.deepEqual([...(tables[0]?.[0].models.keys() ?? [])], ['ml/a']);
});

test('a part that cannot be read is refused and keeps its old state, also on disk; the rest of the version counts', async t => {
  const scene = await Scene.open(t);
  const { publish, stop } = await scene.controlPlane();
  const first = await scene.agent();
  await publish('1', gatewayPart('1'), modelPart('ml/a', '1'), modelPart('ml/b', '1'));
  const bad = { ...modelPart('ml/a', '2'), body: GARBAGE };
  const client = (await publish('2', gatewayPart('1'), bad, modelPart('ml/b', '2'))) as { refused: { name: string }[] };
  assert.deepEqual(
    client.refused.map(({ name }) => name),
    ['ml/a'],
  );
  assert.ok(first.events.some(({ event }) => event === 'table.refused'));
  first.keep();
  await stop();
  await first.stop();
  const second = await scene.agent();
  for (const { tables } of [first, second]) {
    const table = tables.at(-1)?.[0];
    assert.equal(table?.version, '2');
    assert.deepEqual(
      [...table.models.values()].map(({ version }) => version),
      ['1', '2'],
    );
  }
});

test('consumers and the number of agents are kept on disk, secrets are not', async t => {
  const scene = await Scene.open(t);
  const { publish, stop } = await scene.controlPlane();
  const first = await scene.agent();
  await publish(
    '1',
    gatewayPart('1', 'ml/tls'),
    consumerPart('ml/ann', '1'),
    fleetPart(3),
    secretPart('ml/tls', 'key'),
  );
  assert.equal(first.tables.at(-1)?.[0].secrets.size, 1);
  first.keep();
  await stop();
  await first.stop();
  const [restored] = (await scene.agent()).tables;
  assert.deepEqual([...(restored?.[0].consumers.keys() ?? [])], ['ml/ann']);
  assert.deepEqual([restored?.[0].agents, restored?.[0].secrets.size], [3, 0]);
});

test('a control plane that knows neither consumers nor its agents is followed', async t => {
  const scene = await Scene.open(t);
  const { publish } = await scene.controlPlane(OLDER_TYPES);
  const { tables } = await scene.agent();
  await publish('1', gatewayPart('1'), modelPart('ml/a', '1'));
  await publish('2', gatewayPart('1'), modelPart('ml/b', '1'));
  const [table] = tables.at(-1) ?? [];
  assert.deepEqual([table?.version, table?.consumers.size, table?.agents], ['2', 0, 1]);
});
