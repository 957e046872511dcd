import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { ApiCaller, consumer } from './harness/api-caller.ts';
import { Gateway, model } from './harness/gateway.ts';
import { HeldPod } from './harness/held-pod.ts';
import { budgetIn, readCounters } from './harness/saved-counters.ts';
import { until } from './harness/until.ts';

const STREAMS = 5;
const HOUR = { per: 'hour' };

suite('limits when the gateway’s own processes die', { timeout: 120_000 }, () => {
  let held: HeldPod;
  let gateway: Gateway;

  before(async () => {
    held = await HeldPod.start();
    const pricing = { currency: 'EUR', perRequest: '0.25' };
    const limits = [{ concurrency: STREAMS }, { requests: 100, ...HOUR }, { outputTokens: 10_000, ...HOUR }];
    const budget = { amount: '100', currency: 'EUR', period: 'month' };
    gateway = await Gateway.start({
      resources: [
        model('held', [held.endpoint], { pricing }),
        ...['of-extproc', 'of-envoy'].map(name => consumer(name, { limits, budget })),
      ],
      usageRecords: true,
    });
  });
  after(async () => {
    await gateway?.close();
    await held?.close();
  });

  const begin = async (asking: ApiCaller, count = STREAMS) => {
    const streams = await Promise.all(Array.from({ length: count }, () => asking.begin('held', { max_tokens: 100 })));
    for (const { status } of streams) assert.equal(status, 200);
    return streams;
  };
  const finish = async (streams: readonly Response[]) => {
    held.finish();
    for (const stream of streams) assert.match(await stream.text(), /data: \[DONE\]\n\n$/);
  };
  const spent = async (asking: ApiCaller) => (await asking.usage()).budget?.spent;
  const untilSpent = (asking: ApiCaller, amount: string) =>
    until(`${amount} spent by ${asking.name}`, async () => (await spent(asking)) === amount);

  const untilKept = ({ name }: ApiCaller, nano: number) =>
    until(`${nano} in the file for ${name}`, () => budgetIn(readCounters(gateway), name)?.used === nano);

  test('extproc is killed: streams go on, and the next one holds nothing of them', async () => {
    const asking = new ApiCaller(gateway, 'of-extproc');
    await finish(await begin(asking, 2));
    await untilKept(asking, 500_000_000);
    const streams = await begin(asking);
    assert.equal((await asking.ask('held')).status, 429);
    const { extproc } = gateway.children();
    process.kill(extproc, 'SIGKILL');
    const next = await until('the next extproc', async () => {
      const answer = await asking.begin('held', { max_tokens: 100 });
      return answer.status === 200 && answer;
    });
    assert.notEqual(gateway.children().extproc, extproc);
    const [running, requests] = await asking.used();
    assert.deepEqual([running, requests], [1, 3], 'what was settled, and what began since');
    assert.equal(await spent(asking), '0.75');
    await finish([...streams, next]);
    // Of those that began before nobody knows any more to whom they are to be charged. Each stream is two short events.
    await asking.untilUsed(0, 3, 3);
    const all = await begin(asking);
    await finish(all);
    await untilSpent(asking, '2.00');
    assert.equal((await asking.used())[0], 0, 'no end of a stream was counted twice');
  });

  test('Envoy is killed: nothing stays held, and what it could not tell is charged as forecast', async () => {
    const asking = new ApiCaller(gateway, 'of-envoy');
    const streams = (await begin(asking)).map(stream => stream.text());
    process.kill(gateway.children().envoy, 'SIGKILL');
    for (const result of await Promise.allSettled(streams)) assert.equal(result.status, 'rejected');
    const next = await until('the next Envoy', () => asking.begin('held', { max_tokens: 100 }).catch(() => undefined));
    assert.equal(next.status, 200);
    assert.deepEqual((await asking.used()).slice(0, 2), [1, STREAMS + 1]);
    await finish([next]);
    // Its record would come within five seconds.
    await untilSpent(asking, '1.50');
    await until('the records', () => recordsOf(asking).length === STREAMS + 1);
    const lost = recordsOf(asking).filter(({ status }) => status === 0);
    assert.equal(lost.length, STREAMS);
    for (const { output_tokens: output, estimated, cost } of lost) {
      assert.deepEqual([output, estimated, cost], [100, true, '0.25']);
    }
  });

  const recordsOf = ({ name }: ApiCaller) =>
    gateway.usageRecords().filter(({ consumer }) => consumer === `default/${name}`);
});
