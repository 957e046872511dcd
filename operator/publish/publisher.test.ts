import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { create, fromBinary } from '@bufbuild/protobuf';
import { type NodeReport, NodeReportSchema } from '../../proto/gen/fairlead/v1/report_pb.js';
import { FleetSchema, GatewaySchema, ModelSchema } from '../../proto/gen/fairlead/v1/table_pb.js';
import { reportMethod } from '../../proto/report-method.ts';
import {
  CONSUMER_TYPE,
  ENDPOINT_GROUP_TYPE,
  FLEET_TYPE,
  GATEWAY_TYPE,
  MODEL_TYPE,
  SECRET_TYPE,
  TABLE_VERSION_TYPE,
} from '../../proto/table-types.ts';
import { DeltaClient } from '../../xds/delta-client.ts';
import { keepStreamOpen } from '../../xds/reconnecting-stream.ts';
import { type PublishEvent, Publisher } from './publisher.ts';
import type { PlannedTable } from './table-encoder.ts';

const gateway = create(GatewaySchema, { adminPort: 8889 });

function table(...ids: string[]): PlannedTable {
  const models = new Map(ids.map(id => [`ml/${id}`, create(ModelSchema, { id })]));
  return { gateway, models, endpoints: new Map(), consumers: new Map(), secrets: new Map() };
}

function soon(): AbortSignal {
  return AbortSignal.timeout(20_000);
}

class TestAgent {
  readonly nodeId: string;
  readonly #stopped = new AbortController();
  #send: (report: NodeReport) => void = () => {};
  #fleet = 0;
  onVersion = (_version: string): void => {};

  constructor(address: string, nodeId: string, refuse?: string) {
    this.nodeId = nodeId;
    new DeltaClient({
      address,
      nodeId,
      types: [
        ...[GATEWAY_TYPE, MODEL_TYPE, ENDPOINT_GROUP_TYPE, SECRET_TYPE, CONSUMER_TYPE, FLEET_TYPE],
        TABLE_VERSION_TYPE,
      ],
      signal: this.#stopped.signal,
      apply: ({ typeUrl, upserts }) => {
        const [first] = upserts;
        if (typeUrl === FLEET_TYPE && first !== undefined) this.#fleet = fromBinary(FleetSchema, first.body).agents;
        if (typeUrl === TABLE_VERSION_TYPE && first !== undefined) this.onVersion(first.version);
        const refused = upserts.some(({ name }) => name === refuse);
        return refused ? { names: [refuse as string], message: `"${refuse}": no` } : undefined;
      },
    });
    keepStreamOpen({
      address,
      method: reportMethod,
      signal: this.#stopped.signal,
      credentials: undefined,
      opened: send => {
        this.#send = send;
      },
      received: () => {},
      connected: () => {},
      disconnected: () => {},
    });
  }

  /** Resolves once it was told that so many agents are connected; gives the version of that. */
  fleet(agents: number): Promise<string> {
    return new Promise(resolve => {
      this.onVersion = version => {
        if (this.#fleet === agents) resolve(version);
      };
    });
  }

  report(tableVersion: string, envoyReady = true): void {
    this.#send(create(NodeReportSchema, { nodeId: this.nodeId, tableVersion, envoyReady }));
  }

  stop(): void {
    this.#stopped.abort();
  }
}

class Changes {
  readonly events: PublishEvent[] = [];
  readonly #waiting = new Set<() => void>();

  readonly publisher = new Publisher({
    onEvent: event => this.events.push(event),
    onChange: () => {
      for (const check of this.#waiting) check();
    },
  });

  /** Resolves as soon as `condition` holds of what the publisher shows. */
  until(condition: () => boolean): Promise<void> {
    return new Promise(resolve => {
      const check = () => {
        if (!condition()) return;
        this.#waiting.delete(check);
        resolve();
      };
      this.#waiting.add(check);
      check();
    });
  }
}

async function listening(t: TestContext): Promise<{ changes: Changes; agent(id: string, refuse?: string): TestAgent }> {
  const directory = await mkdtemp(join(tmpdir(), 'fairlead-publish-'));
  const address = `unix:${join(directory, 'table')}`;
  const changes = new Changes();
  const stopped = new AbortController();
  const { closed } = await changes.publisher.listen(address, stopped.signal);
  const agents: TestAgent[] = [];
  t.after(async () => {
    for (const agent of agents) agent.stop();
    stopped.abort();
    await closed;
    await rm(directory, { recursive: true });
  });
  const agent = (id: string, refuse?: string) => {
    const connected = new TestAgent(address, id, refuse);
    agents.push(connected);
    return connected;
  };
  return { changes, agent };
}

/** Whether a promise has settled by the time that everything queued has run. */
async function isPending(promise: Promise<unknown>): Promise<boolean> {
  const pending = Symbol('pending');
  const next = new Promise(resolve => setImmediate(() => resolve(pending)));
  return (await Promise.race([promise, next])) === pending;
}

test('a version is applied when every connected agent says so and its Envoy answers', async t => {
  const { changes, agent } = await listening(t);
  const { publisher } = changes;
  const version = publisher.publish(table('a'));
  const applied = publisher.applied(version, soon());
  assert.ok(await isPending(applied), 'without any agent');
  const [one, two] = [agent('one'), agent('two')];
  await changes.until(() => publisher.agents().length === 2);
  assert.ok(await isPending(applied), 'before any report');
  one.report(version);
  await changes.until(() => publisher.agents().some(({ report }) => report !== undefined));
  assert.ok(await isPending(applied), 'while one of two reported');
  two.report(version, false);
  await changes.until(() => publisher.agents().every(({ report }) => report !== undefined));
  assert.ok(await isPending(applied), 'while an Envoy does not answer');
  two.report(version);
  const agents = await applied;
  assert.deepEqual(agents.map(({ nodeId }) => nodeId).sort(), ['one', 'two']);
});

test('a later version counts as applied, an earlier or unknown one does not', async t => {
  const { changes, agent } = await listening(t);
  const { publisher } = changes;
  const [first, second, third] = ['a', 'b', 'c'].map(id => publisher.publish(table(id))) as [string, string, string];
  const one = agent('one');
  const applied = publisher.applied(second, soon());
  for (const version of [first, '57-0badcafe']) {
    one.report(version);
    await changes.until(() => publisher.agents()[0]?.report?.tableVersion === version);
    assert.ok(await isPending(applied), version);
  }
  one.report(third);
  await applied;
});

test('an agent that went away holds nothing up', async t => {
  const { changes, agent } = await listening(t);
  const { publisher } = changes;
  const version = publisher.publish(table('a'));
  const [one, two] = [agent('one'), agent('two')];
  await changes.until(() => publisher.agents().length === 2);
  one.report(version);
  const applied = publisher.applied(version, soon());
  two.stop();
  assert.deepEqual(
    (await applied).map(({ nodeId }) => nodeId),
    ['one'],
  );
});

test('waiting ends with its signal', async () => {
  const publisher = new Publisher();
  const version = publisher.publish(table('a'));
  const gaveUp = new AbortController();
  const applied = publisher.applied(version, gaveUp.signal);
  gaveUp.abort();
  await assert.rejects(applied, { name: 'AbortError' });
});

test('publishing the same again is no new version', () => {
  const publisher = new Publisher();
  const version = publisher.publish(table('a'));
  assert.equal(publisher.publish(table('a')), version);
  assert.notEqual(publisher.publish(table('b')), version);
});

test('what an agent cannot read is known here, with its words', async t => {
  const { changes, agent } = await listening(t);
  changes.publisher.publish(table('a', 'b'));
  agent('one', 'ml/b');
  await changes.until(() => changes.publisher.agents().some(({ refused }) => refused.length > 0));
  assert.deepEqual(changes.publisher.agents()[0]?.refused, [
    { typeUrl: MODEL_TYPE, name: 'ml/b', message: '"ml/b": no' },
  ]);
  assert.deepEqual(
    changes.events.filter(({ event }) => event === 'agent.refused'),
    [{ event: 'agent.refused', node: 'one', resource: 'ml/b', message: '"ml/b": no' }],
  );
  changes.publisher.publish(table('a'));
  await changes.until(() => changes.publisher.agents()[0]?.refused.length === 0);
});

test('agents are told how many they are, in a version of the table that changes nothing else', async t => {
  const { changes, agent } = await listening(t);
  const { publisher } = changes;
  const alone = publisher.publish(table('a'));
  const one = agent('one');
  assert.equal(await one.fleet(1), alone);
  const two = agent('two');
  const versions = await Promise.all([one.fleet(2), two.fleet(2)]);
  assert.deepEqual(versions, [publisher.version, publisher.version]);
  assert.deepEqual([publisher.sequence, publisher.gatewayChangedIn, publisher.changedIn('ml/a')], [2, 1, 1]);
  two.stop();
  await changes.until(() => publisher.agents().length === 1);
  assert.equal(publisher.publish(table('a')), publisher.version);
  assert.equal(publisher.sequence, 2, 'one that went away may come back');
});
