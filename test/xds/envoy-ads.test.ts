import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { Agent, createServer, get } from 'node:http';
import { type AddressInfo, createServer as createNetServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fromBinary } from '@bufbuild/protobuf';
import type { Server, ServerDuplexStream } from '@grpc/grpc-js';
import { CLUSTER_TYPE, ENDPOINT_TYPE, LISTENER_TYPE, ROUTE_TYPE } from '../../agent/envoy/encode.ts';
import {
  type DeltaDiscoveryRequest,
  type DeltaDiscoveryResponse,
  DeltaDiscoveryResponseSchema,
} from '../../proto/gen/envoy/service/discovery/v3/discovery_pb.js';
import { type ClientView, DeltaServer } from '../../xds/delta-server.ts';
import { createGrpcServer, listenGrpc } from '../../xds/grpc-listen.ts';
import type { Resource } from '../../xds/resource.ts';
import { sequenced } from '../../xds/sequenced-order.ts';
import { EnvoyProcess } from './envoy-process.ts';
import { badCluster, CLUSTER_HEADER, envoyResources, type TestCluster } from './envoy-resources.ts';

/** An ADS server for one Envoy that can be stopped and started anew, and remembers all that it sent. */
class TestAds {
  readonly #address: string;
  readonly #stopped = new AbortController();
  readonly server = new DeltaServer({
    order: sequenced({
      types: [CLUSTER_TYPE, ENDPOINT_TYPE, LISTENER_TYPE, ROUTE_TYPE],
      awaits: { [ROUTE_TYPE]: [CLUSTER_TYPE, ENDPOINT_TYPE] },
      resendWith: [[CLUSTER_TYPE, ENDPOINT_TYPE]],
      expected: [CLUSTER_TYPE, LISTENER_TYPE, ROUTE_TYPE],
    }),
  });
  readonly sent: DeltaDiscoveryResponse[] = [];
  #closed = Promise.resolve();
  #updates = 0;

  constructor(address: string) {
    this.#address = address;
  }

  async start(): Promise<void> {
    const grpc = createGrpcServer();
    this.server.addTo({
      addService: (definition: Parameters<Server['addService']>[0], { deltaAggregatedResources }: Handlers) =>
        grpc.addService(definition, {
          deltaAggregatedResources: (call: Call) => {
            const write = call.write.bind(call);
            call.write = (bytes: Buffer) => {
              this.sent.push(fromBinary(DeltaDiscoveryResponseSchema, bytes));
              return write(bytes);
            };
            deltaAggregatedResources(call);
          },
        }),
    } as unknown as Server);
    const { closed } = await listenGrpc(grpc, this.#address, this.#stopped.signal);
    this.#closed = closed;
  }

  async stop(): Promise<void> {
    this.server.close();
    this.#stopped.abort();
    await this.#closed;
  }

  /** Makes `resources` the whole state; resolves when Envoy has answered all of it. */
  apply(resources: readonly Resource[]): Promise<ClientView> {
    this.#updates += 1;
    const sequence = this.server.replace(String(this.#updates), resources);
    return this.server.settled(EnvoyProcess.nodeId, sequence, AbortSignal.timeout(30_000));
  }

  /** Names sent of a type, with removed ones as "-name". */
  names(typeUrl: string): string[] {
    const responses = this.sent.filter(response => response.typeUrl === typeUrl);
    return responses.flatMap(({ resources, removedResources }) => [
      ...resources.map(({ name }) => name),
      ...removedResources.map(name => `-${name}`),
    ]);
  }
}

type Call = ServerDuplexStream<DeltaDiscoveryRequest, Buffer>;

interface Handlers {
  deltaAggregatedResources(call: Call): void;
}

let directory: string;
let envoy: EnvoyProcess;
let ads: TestAds;
let listenerPort: number;
/** Three upstreams that answer with their index. */
const upstreams = ['0', '1', '2'].map(name => createServer((_, response) => response.end(name)));
const connections = new Agent({ keepAlive: true });
let ports: number[];

function resources(clusters: Readonly<Record<string, TestCluster>>): Resource[] {
  return envoyResources(listenerPort, clusters);
}

function to(...upstream: number[]): TestCluster {
  return { ports: upstream.map(index => ports[index] as number) };
}

/** Status and body of a request through Envoy for a cluster. */
function fetchFrom(cluster: string): Promise<{ status: number; body: string }> {
  const headers = { [CLUSTER_HEADER]: cluster };
  return new Promise((resolve, reject) => {
    get({ port: listenerPort, path: `/${cluster}`, headers, agent: connections }, async response => {
      resolve({ status: response.statusCode as number, body: (await response.toArray()).join('') });
    }).on('error', reject);
  });
}

/** Who answers: the bodies of enough requests that the round robin visits every host. */
async function answering(cluster: string): Promise<string> {
  const answers = new Set<string>();
  for (let request = 0; request < 8; request++) answers.add((await fetchFrom(cluster)).body);
  return [...answers].sort().join();
}

before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'fairlead-ads-'));
  for (const upstream of upstreams) {
    upstream.listen(0, '127.0.0.1');
    await once(upstream, 'listening');
  }
  ports = upstreams.map(upstream => (upstream.address() as AddressInfo).port);
  const free = createNetServer().listen(0, '127.0.0.1');
  await once(free, 'listening');
  listenerPort = (free.address() as AddressInfo).port;
  await new Promise(resolve => free.close(resolve));
  envoy = new EnvoyProcess(directory);
  ads = new TestAds(envoy.adsAddress);
  await envoy.start();
});

after(async () => {
  await envoy.stop();
  await ads.stop();
  connections.destroy();
  for (const upstream of upstreams) {
    upstream.closeAllConnections();
    upstream.close();
  }
  await rm(directory, { recursive: true });
});

test('a cold Envoy that waited for its server has listeners, routes and hosts once it has settled', async () => {
  await ads.start();
  const client = await ads.apply(resources({ first: to(0) }));
  assert.deepEqual(client.refused, []);
  assert.deepEqual(await fetchFrom('first'), { status: 200, body: '0' }, envoy.log);
});

test('a host added is used, and one removed is not, as soon as Envoy has settled', async () => {
  await ads.apply(resources({ first: to(0, 1) }));
  assert.equal(await answering('first'), '0,1');
  await ads.apply(resources({ first: to(1) }));
  assert.equal(await answering('first'), '1');
});

test('a changed cluster gets its endpoints again: without them it would warm for ever', async () => {
  ads.sent.length = 0;
  await ads.apply(resources({ first: { ...to(1), connectTimeout: '2s' } }));
  assert.deepEqual(ads.names(CLUSTER_TYPE), ['first']);
  assert.deepEqual(ads.names(ENDPOINT_TYPE), ['first']);
  assert.equal(await envoy.stat('cluster_manager.warming_clusters'), 0);
  assert.equal(await answering('first'), '1');
});

test('clusters that come and go never fail a request that Envoy has a route for', async () => {
  const statuses = new Set<number>();
  const running = new AbortController();
  const load = (async () => {
    while (!running.signal.aborted) statuses.add((await fetchFrom('second')).status);
  })();
  for (let round = 0; round < 10; round++) {
    await ads.apply(resources({ first: to(1), second: to(2) }));
    assert.deepEqual(await fetchFrom('second'), { status: 200, body: '2' });
    await ads.apply(resources({ first: to(1) }));
    assert.equal((await fetchFrom('second')).status, 404);
  }
  running.abort();
  await load;
  // 404: no route. A route without its cluster, or without hosts, would be a 503.
  assert.deepEqual([...statuses].sort(), [200, 404]);
});

test('a cluster that Envoy refuses comes back by name and in its words; all else is served, also what came with it', async () => {
  const client = await ads.apply([...resources({ first: to(1), second: to(2) }), badCluster('third')]);
  assert.deepEqual(
    client.refused.map(({ typeUrl, name }) => [typeUrl, name]),
    [[CLUSTER_TYPE, 'third']],
  );
  assert.match(client.refused[0]?.message ?? '', /third/);
  assert.equal(await answering('first'), '1');
  assert.equal(await answering('second'), '2');
  const mended = await ads.apply(resources({ first: to(1), second: to(2), third: to(0) }));
  assert.deepEqual(mended.refused, []);
  assert.equal(await answering('third'), '0');
});

test('without its server Envoy goes on; a new server sends it only what differs', async () => {
  const clusters = { first: to(1), second: to(2), third: to(0) };
  await ads.stop();
  assert.equal(await answering('first'), '1');
  ads = new TestAds(envoy.adsAddress);
  const settled = ads.apply(resources({ ...clusters, second: to(0, 2) }));
  await ads.start();
  await settled;
  assert.equal(await answering('second'), '0,2');
  assert.deepEqual(
    [CLUSTER_TYPE, ENDPOINT_TYPE, LISTENER_TYPE, ROUTE_TYPE].map(type => ads.names(type)),
    [[], ['second'], [], []],
  );
});

test('what was removed while Envoy was away is removed when it is back', async () => {
  await ads.stop();
  ads = new TestAds(envoy.adsAddress);
  const settled = ads.apply(resources({ first: to(1) }));
  await ads.start();
  await settled;
  assert.deepEqual(ads.names(CLUSTER_TYPE).sort(), ['-second', '-third']);
  assert.equal((await fetchFrom('second')).status, 404);
  assert.equal(await answering('first'), '1');
});
