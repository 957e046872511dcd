import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { after, before, suite, test } from 'node:test';
import { type SimPod, startPod } from '../../sim/pod.ts';
import { assertOpenAiError, send } from './harness/answer.ts';
import { ApiCaller, consumer } from './harness/api-caller.ts';
import { freePorts } from './harness/free-ports.ts';
import { Gateway, model } from './harness/gateway.ts';
import { until } from './harness/until.ts';

const KEY = 'key-of-guest';
const guest = consumer('guest', {
  apiKeys: [{ name: 'first', sha256: createHash('sha256').update(KEY).digest('hex') }],
  limits: [{ requests: 2, per: 'hour' }],
});

suite('usage records', { timeout: 120_000 }, () => {
  let pod: SimPod;
  let gateway: Gateway;

  before(async () => {
    pod = await startPod({ name: 'pod', models: ['free', 'internal'], timeScale: 100 });
    const [nobody] = await freePorts(1);
    gateway = await Gateway.start({
      resources: [
        model('free', [pod.endpoint]),
        model('priced', [pod.endpoint], {
          ...{ model: 'acme/priced', aliases: ['p'], backend: { name: 'gpus', model: 'internal' } },
          pricing: { currency: 'EUR', promptPerMillion: '1', completionPerMillion: '2.5', perRequest: '0.01' },
        }),
        model('refusing', [`127.0.0.1:${nobody}`]),
      ],
      gateway: { anonymous: { limits: [{ requests: 0, per: 'hour', model: 'refusing' }] } },
      usageRecords: true,
    });
    gateway.write('guest.yaml', [guest]);
    await new ApiCaller(gateway, 'guest').untilKnown(1);
  });
  after(async () => {
    await gateway?.close();
    await pod?.close();
  });

  const recorded = (count: number) =>
    until(`${count} records`, () => {
      const records = gateway.usageRecords();
      return records.length >= count && records.map(({ time: _, id: __, ...record }) => record);
    });

  test('one line for each request that was sent to an endpoint, whoever asked', async () => {
    const nobody = new ApiCaller(gateway);
    const visitor = new ApiCaller(gateway, 'visitor');
    const named = new ApiCaller(gateway, 'guest');
    assert.equal((await nobody.ask('free', { max_tokens: 3 })).status, 200);
    await recorded(1);
    assert.equal((await visitor.ask('p', { max_tokens: 4 })).status, 200);
    await recorded(2);
    assert.equal((await named.post('/v1/completions/p', { prompt: 'Hi', max_tokens: 5 })).status, 200);
    await recorded(3);
    assert.equal((await named.ask('refusing')).status, 503);
    await recorded(4);
    // These reach no endpoint.
    assert.equal((await named.ask('free')).status, 429);
    assert.equal((await nobody.ask('refusing')).status, 403);
    assert.equal((await nobody.ask('unknown')).status, 404);
    assert.equal((await nobody.ask('free', { stream: 'yes' })).status, 400);
    assert.equal((await nobody.ask('free')).status, 200);
    const told = { status: 200, cached_input_tokens: 0, estimated: false };
    const chat = { backend: 'pods', endpoint: '/v1/chat/completions' };
    const gpus = { model: 'acme/priced', backend: 'gpus', currency: 'EUR' };
    const free = { model: 'free', ...chat, ...told, cost: null, currency: null };
    const guests = { consumer: 'default/guest', user: 'guest' };
    assert.deepEqual(await recorded(5), [
      { consumer: 'anonymous', user: null, ...free, input_tokens: 1, output_tokens: 3 },
      // A prompt of 1 and an answer of 4 tokens: 0.01 + 1 and 10 millionths.
      {
        consumer: 'anonymous',
        user: 'visitor',
        ...chat,
        ...gpus,
        ...told,
        input_tokens: 1,
        output_tokens: 4,
        cost: '0.010011',
      },
      {
        ...guests,
        ...gpus,
        ...told,
        endpoint: '/v1/completions',
        input_tokens: 1,
        output_tokens: 5,
        cost: '0.0100135',
      },
      { ...guests, ...free, ...told, model: 'refusing', status: 503, input_tokens: 0, output_tokens: 0 },
      { consumer: 'anonymous', user: null, ...free, input_tokens: 1, output_tokens: 1 },
    ]);
  });

  test('their ids are those of the access log, their sums those of the metrics', async () => {
    const records = gateway.usageRecords();
    // Envoy writes its log less often.
    await until('the access log of all', () => {
      const logged = new Set(gateway.accessLog().map(({ id }) => id));
      return records.every(({ id }) => logged.has(id));
    });
    for (const [name, requests, input, output] of [
      ['anonymous', 3, 3, 8],
      ['default/guest', 2, 1, 5],
    ] as const) {
      const metric = (metric: string, labels = '') =>
        gateway.metric(`fairlead_consumer_${metric}_total{consumer="${name}"${labels}}`);
      assert.equal(await metric('requests'), requests);
      assert.equal(await metric('tokens', ',kind="input"'), input);
      assert.equal(await metric('tokens', ',kind="output"'), output);
    }
  });

  test('a consumer that is removed is nobody: 401', async () => {
    gateway.writeGateway({ listeners: [{ name: 'http', port: gateway.port }], authentication: { mode: 'apiKeys' } });
    const usage = () => send(gateway.url, 'GET /v1/usage', { headers: { authorization: `Bearer ${KEY}` } });
    const keyless = () => send(gateway.url, 'GET /v1/usage');
    await until('keys are asked for', async () => (await keyless()).status === 401);
    const before = JSON.parse((await usage()).body);
    assert.deepEqual([before.consumer, before.limits[0].used], ['guest', 2]);
    gateway.remove('guest.yaml');
    const refused = await until('the end of him', async () => {
      const answer = await usage();
      return answer.status !== 200 && answer;
    });
    assertOpenAiError(refused, {
      ...{ status: 401, code: 'invalid_api_key', type: 'authentication_error' },
      message: 'This API key is not known. Check it for typing errors, or ask for a new one.',
    });
    gateway.write('guest.yaml', [guest]);
    const again = await until('his return', async () => {
      const answer = await usage();
      return answer.status === 200 && answer;
    });
    assert.equal(JSON.parse(again.body).limits[0].used, 2, 'who goes and comes is not given more');
  });
});
