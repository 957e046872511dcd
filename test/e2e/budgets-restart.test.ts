import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { type SimPod, startPod } from '../../sim/pod.ts';
import { ApiCaller, consumer } from './harness/api-caller.ts';
import { Gateway, model } from './harness/gateway.ts';
import { budgetIn, readCounters, writeCounters } from './harness/saved-counters.ts';
import { until } from './harness/until.ts';

const DAY_MS = 86_400_000;
const NAME = 'saver';

suite('what is spent survives the processes that count it', { timeout: 120_000 }, () => {
  let pod: SimPod;
  let gateway: Gateway;
  let asking: ApiCaller;

  before(async () => {
    pod = await startPod({ name: 'pod', models: ['m'], timeScale: 100 });
    const limits = [
      { requests: 100, per: 'hour' },
      { outputTokens: 100, per: 'day' },
      { requests: 100, per: 'minute' },
    ];
    const budget = { amount: '10', currency: 'EUR', period: 'day', timeZone: 'America/New_York' };
    gateway = await Gateway.start({
      resources: [
        model('m', [pod.endpoint], { pricing: { currency: 'EUR', perRequest: '0.25' } }),
        consumer(NAME, { limits, budget }),
      ],
      usageRecords: true,
    });
    asking = new ApiCaller(gateway, NAME);
  });
  after(async () => {
    await gateway?.close();
    await pod?.close();
  });

  const ask = async () => assert.equal((await asking.ask('m', { max_tokens: 3 })).status, 200);
  const spent = async () => (await asking.usage()).budget?.spent;
  /** Until it is settled, and not only reserved. */
  const untilSettled = (requests: number) => until('the records', () => gateway.usageRecords().length === requests);
  const untilKept = (nano: number) =>
    until(`${nano} in the file`, () => budgetIn(readCounters(gateway), NAME)?.used === nano);

  /**
   * The next one answers when this resolves.
   *
   * @param meanwhile called before it is started
   */
  async function killExtproc(meanwhile: () => void = () => undefined): Promise<void> {
    const { extproc } = gateway.children();
    process.kill(extproc, 'SIGKILL');
    meanwhile();
    await until('the next extproc', () => gateway.children().extproc !== extproc);
    await until('its answer', async () => {
      const response = await fetch(`${gateway.url}/v1/usage`, { headers: asking.headers });
      return (await response.text()).includes(`"consumer":"${NAME}"`);
    });
  }

  test('stopped at once after an answer: nothing is lost', async () => {
    await ask();
    await untilSettled(1);
    await gateway.restart('SIGTERM');
    assert.equal(await spent(), '0.25');
    // A minute is soon over: what is counted for so short a time begins anew.
    assert.deepEqual(await asking.used(), [1, 3, 0]);
    const { models } = await asking.usage();
    assert.deepEqual(
      models.map(({ requests, output_tokens, cost }) => [requests, output_tokens, cost]),
      [[1, 3, '0.25']],
    );
  });

  test('killed: what was settled more than a second ago is still there, and counts on', async () => {
    await ask();
    await untilKept(500_000_000);
    await killExtproc();
    assert.equal(await spent(), '0.50');
    assert.deepEqual(await asking.used(), [2, 6, 0]);
    await ask();
    await untilSettled(3);
    assert.equal(await spent(), '0.75');
    assert.deepEqual(await asking.used(), [3, 9, 1]);
  });

  test('killed with a request on its way: that is not charged, and holds nothing', async () => {
    await untilKept(750_000_000);
    pod.fault({ kind: 'stall', times: 1 });
    const leaving = new AbortController();
    const waiting = assert.rejects(asking.begin('m', {}, leaving.signal));
    await until('it is reserved', async () => (await spent()) === '1.00');
    await killExtproc();
    assert.equal(await spent(), '0.75');
    leaving.abort();
    await waiting;
    assert.deepEqual(await asking.used(), [3, 9, 0]);
  });

  test('a period of the calendar that is over counts no more', async () => {
    const kept = budgetIn(readCounters(gateway), NAME) ?? assert.fail('no budget is kept');
    const [start = 0, end = 0] = kept.key
      .slice(kept.key.lastIndexOf('|') + 1)
      .split('-')
      .map(Number);
    assert.equal(end, kept.endMs);
    for (const ms of [start, end]) {
      assert.match(new Date(ms).toLocaleString('sv', { timeZone: 'America/New_York' }), / 00:00:00$/);
    }
    assert.ok(start <= Date.now() && Date.now() < end);
    const resetsAt = (await asking.usage()).budget?.resets_at;
    assert.equal(resetsAt, new Date(end).toISOString());
    // As if it had been counted on the day before.
    await killExtproc(() => {
      const counters = readCounters(gateway);
      const yesterday = `${start - DAY_MS}-${end - DAY_MS}`;
      const calendar = counters.calendar.map(({ key, used }) => ({
        ...{ key: key.replace(`${start}-${end}`, yesterday), used, endMs: end - DAY_MS },
      }));
      writeCounters(gateway, { ...counters, calendar });
    });
    const { budget, models } = await asking.usage();
    assert.deepEqual([budget?.spent, budget?.resets_at, models], ['0.00', resetsAt, []]);
    assert.deepEqual(await asking.used(), [3, 9, 0], 'what slides stays');
  });

  test('a file that is damaged: it is said, and counting begins anew', async () => {
    await killExtproc(() => writeCounters(gateway, '{"version": 1, "sliding": ['));
    const [warning] = await until('the warning', () => {
      const events = gateway.events<{ reason: string }>('limits.counters_not_kept');
      return events.length > 0 && events;
    });
    assert.equal(warning?.reason, 'it does not hold saved counters');
    assert.deepEqual(await asking.used(), [0, 0, 0]);
    await ask();
    await untilKept(250_000_000);
  });

  test('usage records are appended to', () => {
    const records = gateway.usageRecords();
    assert.equal(records.length, 4);
    assert.equal(new Set(records.map(({ id }) => id)).size, 4);
  });
});
