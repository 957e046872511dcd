import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { type SimPod, startPods } from '../../sim/pod.ts';
import { ValkeyServer } from '../store/valkey-server.ts';
import { type Answer, send } from './harness/answer.ts';
import { assertLimited } from './harness/api-caller.ts';
import { type Gateway, model } from './harness/gateway.ts';
import { HeldPod } from './harness/held-pod.ts';
import { countedIn, StoreReader, startGateways } from './harness/shared-store.ts';
import { until } from './harness/until.ts';

const GATEWAYS = 4;
const CLIENTS = 50;
const REQUESTS = 1_000;
const TOKENS = 100_000;
/** Of the answers that are counted in tokens. */
const LENGTHS = [200, 400, 1_000, 700];
const PER_SECOND = 60;
const AT_ONCE = 20;

// One model for each limit, so that they are asked one after the other with all that they allow.
const LIMITS = [
  { requests: REQUESTS, per: 'minute', model: 'requests' },
  { tokens: TOKENS, per: 'minute', model: 'tokens' },
  { requests: PER_SECOND, per: 'second', model: 'again' },
  { concurrency: AT_ONCE, model: 'held' },
];

suite(`${CLIENTS} clients at ${GATEWAYS} gateways that count in one store`, { timeout: 120_000 }, () => {
  let store: ValkeyServer;
  let reader: StoreReader;
  let pods: SimPod[] = [];
  let held: HeldPod;
  let gateways: Gateway[] = [];

  before(async () => {
    store = await ValkeyServer.start();
    reader = new StoreReader(store);
    held = await HeldPod.start();
    const models: [string, ...string[]] = ['requests', 'tokens', 'again'];
    pods = await startPods(
      ['pod-0', 'pod-1'].map(name => ({ name, models, timeScale: 500, rememberedRequests: 10_000 })),
    );
    const endpoints = pods.map(({ endpoint }) => endpoint);
    gateways = await startGateways(GATEWAYS, {
      resources: [...models.map(name => model(name, endpoints)), model('held', [held.endpoint])],
      // A store on a machine as busy as this one is late now and then, which is not what is proven here.
      gateway: countedIn(store, { rules: LIMITS, timeout: '2s', onStoreFailure: 'deny' }),
      usageRecords: true,
    });
  });

  after(async () => {
    await Promise.all(gateways.map(gateway => gateway.close()));
    await Promise.all([held, ...pods].map(pod => pod?.close()));
    reader?.close();
    store?.stop();
  });

  /** All clients at once, each as often, in turn at each gateway. */
  const askAll = async (times: number, body: (client: number, turn: number) => object): Promise<Answer[]> => {
    const client = async (index: number): Promise<Answer[]> => {
      const answers: Answer[] = [];
      for (let turn = 0; turn < times; turn++) {
        const url = gateways[(index + turn) % GATEWAYS]?.url ?? '';
        answers.push(await send(url, 'POST /v1/chat/completions', { body: chat(body(index, turn)) }));
      }
      return answers;
    };
    return (await Promise.all(Array.from({ length: CLIENTS }, (_, index) => client(index)))).flat();
  };

  const untilSettled = () => until('all to be settled', async () => (await reader.leases()) === 0);

  const reached = (name: string): number =>
    pods.flatMap(({ requests }) => requests.filter(({ body }) => body?.includes(`"model":"${name}"`))).length;

  test(`of 1,250 requests exactly ${REQUESTS} pass`, async () => {
    const most = reader.watch('|requests|60|');
    const answers = await askAll(25, () => ({ model: 'requests' }));
    const passed = answers.filter(({ status }) => status === 200);
    assert.equal(passed.length, REQUESTS);
    for (const answer of answers.filter(({ status }) => status !== 200)) {
      assertLimited(answer, /^The limit is 1,000 requests per minute for the gateway, on requests: 1,000 of 1,000 are/);
    }
    assert.equal(await most(), REQUESTS);
    assert.equal(reached('requests'), REQUESTS, 'at the pods');
    const remaining = passed.map(({ headers }) => Number(headers.get('x-ratelimit-remaining-requests')));
    const each = Array.from({ length: REQUESTS }, (_, index) => index);
    assert.deepEqual(
      remaining.toSorted((one, other) => one - other),
      each,
      'each was told another place',
    );
    for (const gateway of gateways) assert.equal(await gateway.metric('fairlead_limit_store_failures_total'), 0);
  });

  test(`of twice as many tokens all of ${TOKENS} are used, and never more`, async () => {
    const most = reader.watch('|tokens|60|');
    const answers = await askAll(8, (client, turn) => ({
      model: 'tokens',
      max_tokens: LENGTHS[(client + turn) % LENGTHS.length],
    }));
    const passed = answers.filter(({ status }) => status === 200);
    const used = passed.reduce((sum, { body }) => sum + usageOf(body), 0);
    assert.equal(new Set(answers.map(({ status }) => status)).size, 2, 'some pass, some do not');
    await untilSettled();
    assert.equal(await reader.used('|tokens|60|'), used);
    // What is left is asked for in ever smaller pieces, each when what the last did not use is given back.
    let left = TOKENS - used;
    for (let length = Math.max(...LENGTHS); length > 0; length = Math.floor(length / 2)) {
      for (let isPassing = true; isPassing; ) {
        const url = gateways[length % GATEWAYS]?.url ?? '';
        const body = chat({ model: 'tokens', max_tokens: length });
        const answer = await send(url, 'POST /v1/chat/completions', { body });
        await untilSettled();
        isPassing = answer.status === 200;
        if (isPassing) left -= usageOf(answer.body);
        else assertLimited(answer, /^The limit is 100,000 tokens per minute for the gateway, on tokens: /);
      }
    }
    assert.ok(left >= 0 && left < INPUT_AT_MOST, `${left} tokens are left`);
    assert.ok((await most()) <= TOKENS);
    assert.equal(await reader.used('|tokens|60|'), TOKENS - left);
  });

  test('what is used can be used again after its window', async () => {
    const most = reader.watch('|requests|1|');
    let passed = 0;
    let refused = 0;
    while (passed < 4 * PER_SECOND || refused === 0) {
      const answers = await askAll(4, () => ({ model: 'again' }));
      for (const { status } of answers) {
        if (status === 200) passed++;
        else refused++;
      }
    }
    assert.ok((await most()) <= PER_SECOND);
    assert.equal(reached('again'), passed);
  });

  test(`never more than ${AT_ONCE} run at once, wherever they came in, and always as many`, async () => {
    const asking = new AbortController();
    let ended = 0;
    const client = async (index: number) => {
      for (let turn = index; !asking.signal.aborted; turn++) {
        const url = gateways[turn % GATEWAYS]?.url ?? '';
        const body = chat({ model: 'held', stream: true });
        const answer = await send(url, 'POST /v1/chat/completions', { body });
        if (answer.status === 200) ended++;
        else assertLimited(answer, /^The limit is 20 requests at once for the gateway, on held, and 20 are /, BUSY);
      }
    };
    const clients = Array.from({ length: CLIENTS }, (_, index) => client(index));
    try {
      for (let round = 1; round <= 5; round++) {
        await until('as many as may be at once', () => held.held === AT_ONCE);
        assert.equal(await reader.used('|concurrency|'), AT_ONCE);
        held.finish();
        await until('them to end', () => ended >= round * AT_ONCE);
      }
      asking.abort();
      await until('the last', () => {
        held.finish();
        return held.held === 0;
      });
    } finally {
      asking.abort();
      const finishing = setInterval(() => held.finish(), 10);
      await Promise.all(clients).finally(() => clearInterval(finishing));
    }
    assert.equal(held.most, AT_ONCE);
    await until('nothing held', async () => (await reader.used('|concurrency|')) === 0);
  });
});

const BUSY = 'concurrency_exceeded';
/** Estimated from the size of the request, and settled by what the pod tells. */
const INPUT_AT_MOST = 40;

function chat(more: object): object {
  return { messages: [{ role: 'user', content: 'Hi' }], max_tokens: 1, ...more };
}

function usageOf(body: string): number {
  return (JSON.parse(body) as { usage: { total_tokens: number } }).usage.total_tokens;
}
