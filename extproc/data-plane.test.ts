import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { MessageChannel } from 'node:worker_threads';
import { create } from '@bufbuild/protobuf';
import type { ToAgent, ToDataThread } from '../agent/messages.ts';
import { GatewaySchema, type Model, ModelSchema } from '../proto/gen/fairlead/v1/table_pb.js';
import { createLog } from '../telemetry/log.ts';
import { runDataPlane } from './data-plane.ts';

test('a table that this thread fails at is answered and logged; the next one is followed', async t => {
  const directory = await mkdtemp(join(tmpdir(), 'fairlead-data-'));
  t.after(() => rm(directory, { recursive: true }));
  const { port1, port2 } = new MessageChannel();
  const events: { event: string }[] = [];
  const stopped = new AbortController();
  const ended = runDataPlane({
    socketPath: join(directory, 'extproc'),
    agent: port1,
    log: createLog('info', { write: line => events.push(JSON.parse(line)) }),
    signal: stopped.signal,
  });
  const ask = async (message: ToDataThread): Promise<ToAgent> => {
    const answer = once(port2, 'message');
    port2.postMessage(message);
    return (await answer)[0];
  };
  const table = (request: number, version: string, model: Model): ToDataThread => ({
    kind: 'table',
    request,
    delta: {
      version,
      receivedAtMs: 0,
      gateway: create(GatewaySchema, {}),
      models: [['ns/m', model]],
      removedModels: [],
      endpoints: [],
      removedEndpoints: [],
      consumers: [],
      removedConsumers: [],
      agents: undefined,
      limitStore: undefined,
    },
  });
  const whole = create(ModelSchema, { id: 'm', names: ['m'], timeouts: {} });
  const failed = await ask(table(1, '1', { ...whole, backends: undefined as unknown as Model['backends'] }));
  assert.equal(failed.kind, 'failed');
  assert.deepEqual(
    events.filter(({ event }) => event === 'agent.not_answered').map(each => 'question' in each && each.question),
    ['table'],
  );
  assert.deepEqual(await ask(table(2, '2', whole)), { kind: 'applied', request: 2, answer: undefined });
  const explained = await ask({ kind: 'explain?', request: 3, model: 'm' });
  assert.equal(explained.kind === 'explain' && explained.answer?.key, 'ns/m');
  stopped.abort();
  await ended;
  port1.close();
});
