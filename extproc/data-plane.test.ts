import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { connect } from 'node:http2';
import { createConnection } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { MessageChannel } from 'node:worker_threads';
import { create, toBinary } from '@bufbuild/protobuf';
import type { ToAgent, ToDataThread } from '../agent/messages.ts';
import type { TableDelta } from '../agent/table/route-table.ts';
import { HeaderValueSchema } from '../proto/gen/envoy/config/core/v3/base_pb.js';
import {
  HttpBodySchema,
  HttpHeadersSchema,
  type ProcessingRequest,
  ProcessingRequestSchema,
} from '../proto/gen/envoy/service/ext_proc/v3/external_processor_pb.js';
import {
  AuthenticationMode,
  EndpointGroupSchema,
  GatewaySchema,
  type Model,
  ModelSchema,
} from '../proto/gen/fairlead/v1/table_pb.js';
import { createLog } from '../telemetry/log.ts';
import { type DataPlaneOptions, runDataPlane } from './data-plane.ts';
import { RawGrpcCall } from './server/raw-grpc-call.fixture.ts';
import { PROCESS_PATH } from './server/transport.ts';

/** A data plane that runs, and the agent's end of its channel. */
async function start(t: TestContext, more: Partial<DataPlaneOptions> = {}) {
  const directory = await mkdtemp(join(tmpdir(), 'fairlead-data-'));
  t.after(() => rm(directory, { recursive: true }));
  const { port1, port2 } = new MessageChannel();
  const events: { event: string }[] = [];
  const stopped = new AbortController();
  const socketPath = join(directory, 'extproc');
  const ended = runDataPlane({
    socketPath,
    agent: port1,
    log: createLog('info', { write: line => events.push(JSON.parse(line)) }),
    signal: stopped.signal,
    ...more,
  });
  const ask = async (message: ToDataThread): Promise<ToAgent> => {
    const answer = once(port2, 'message');
    port2.postMessage(message);
    return (await answer)[0];
  };
  const stop = async () => {
    stopped.abort();
    await ended;
    port1.close();
  };
  return { socketPath, events, ask, stop };
}

function table(request: number, delta: Partial<TableDelta>): ToDataThread {
  return {
    kind: 'table',
    request,
    delta: {
      version: String(request),
      receivedAtMs: 0,
      gateway: create(GatewaySchema, {
        authentication: { mode: AuthenticationMode.AUTHENTICATION_NONE },
        maxBodyBytes: 100,
      }),
      models: [],
      removedModels: [],
      endpoints: [],
      removedEndpoints: [],
      consumers: [],
      removedConsumers: [],
      agents: undefined,
      limitStore: undefined,
      ...delta,
    },
  };
}

const PLAIN = { id: 'm', names: ['m'], type: 'text-generation', timeouts: {} };
const MODEL = create(ModelSchema, PLAIN);

test('a table that this thread fails at is answered and logged; the next one is followed', async t => {
  const { events, ask, stop } = await start(t);
  const broken = { ...MODEL, backends: undefined as unknown as Model['backends'] };
  const failed = await ask(table(1, { models: [['ns/m', broken]] }));
  assert.equal(failed.kind, 'failed');
  assert.deepEqual(
    events.filter(({ event }) => event === 'agent.not_answered').map(each => 'question' in each && each.question),
    ['table'],
  );
  const followed = await ask(table(2, { models: [['ns/m', MODEL]] }));
  assert.deepEqual(followed, { kind: 'applied', request: 2, answer: undefined });
  const explained = await ask({ kind: 'explain?', request: 3, model: 'm' });
  assert.equal(explained.kind === 'explain' && explained.answer?.key, 'ns/m');
  await stop();
});

test('what waits for its record when this thread stops is settled, and written, before all is closed', async t => {
  const written: object[] = [];
  const { socketPath, ask, stop } = await start(t, {
    usage: {
      write: record => written.push(record),
      close: async () => void written.push({ closed: true }),
    },
  });
  const endpoints = [{ address: '1.1.1.1:1', id: 'a', name: 'pod' }];
  const model = create(ModelSchema, { ...PLAIN, backends: [{ name: 'b', capacity: 1 }] });
  await ask(
    table(1, {
      models: [['ns/m', model]],
      endpoints: [['ns/m/b', create(EndpointGroupSchema, { endpoints })]],
    }),
  );
  const session = connect('http://extproc', { createConnection: () => createConnection(socketPath) });
  // Cut at the end.
  session.on('error', () => undefined);
  t.after(() => session.destroy());
  const call = new RawGrpcCall(session, PROCESS_PATH);
  const say = (request: ProcessingRequest['request']) =>
    call.send(toBinary(ProcessingRequestSchema, create(ProcessingRequestSchema, { request })));
  const headers = Object.entries({ ':method': 'POST', ':path': '/v1/completions' });
  const list = headers.map(([key, value]) => create(HeaderValueSchema, { key, rawValue: Buffer.from(value) }));
  say({ case: 'requestHeaders', value: create(HttpHeadersSchema, { headers: { headers: list } }) });
  await call.next();
  say({
    case: 'requestBody',
    value: create(HttpBodySchema, { body: Buffer.from('{"model":"m","max_tokens":7}'), endOfStream: true }),
  });
  await call.next();
  await stop();
  const [record, ...rest] = written;
  assert.partialDeepStrictEqual(record, { model: 'm', status: 0, output_tokens: 7, estimated: true });
  assert.deepEqual(rest, [{ closed: true }]);
});
