import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { METRICS } from './metric-list.ts';
import { renderMetrics } from './metrics.ts';
import type { DataPlaneSnapshot } from './snapshot.ts';

const EMPTY: DataPlaneSnapshot = {
  requests: [],
  tokens: [],
  inFlight: [],
  pickSeconds: { bounds: [0.001], counts: [0, 0], sum: 0 },
  settlements: [],
  tableVersion: '',
  tableReceivedAtMs: 0,
  endpoints: undefined,
  limits: { checks: [], consumers: [], budgets: [], store: undefined },
};

const LIMITS: DataPlaneSnapshot['limits'] = {
  checks: [{ scope: 'consumer', limit: '1 request per minute', outcome: 'refused', count: 2 }],
  consumers: [
    {
      consumer: 'team-a',
      requests: 3,
      inputTokens: 4,
      outputTokens: 5,
      spent: [{ currency: 'EUR', nano: 1_500_000_000 }],
    },
  ],
  budgets: [{ consumer: 'ml/team-a', spent: 9, amount: 10 }],
  store: { up: false, failures: 1, withoutStore: 7, dropped: 2 },
};

/** The samples of a scrape: "name{labels}" to value, without comments. */
async function scrape(snapshot: Partial<DataPlaneSnapshot>): Promise<Record<string, number>> {
  const { text } = await renderMetrics({ ...EMPTY, ...snapshot }, () => 62_000);
  const samples = text.split('\n').filter(line => line !== '' && !line.startsWith('#'));
  return Object.fromEntries(
    samples.map(line => [line.slice(0, line.lastIndexOf(' ')), Number(line.split(' ').at(-1))]),
  );
}

describe('metrics', () => {
  it('show what was counted', async () => {
    const samples = await scrape({
      requests: [
        { model: 'llama', backend: 'gpu', code: '200', count: 7 },
        { model: '', backend: '', code: 'model_not_found', count: 2 },
      ],
      tokens: [
        { model: 'llama', kind: 'prompt', count: 1_000 },
        { model: 'llama', kind: 'completion', count: 50 },
      ],
      inFlight: [{ model: 'llama', count: 3 }],
      settlements: [{ kind: 'usage', count: 7 }],
    });
    assert.equal(samples['fairlead_requests_total{model="llama",backend="gpu",code="200"}'], 7);
    assert.equal(samples['fairlead_requests_total{model="",backend="",code="model_not_found"}'], 2);
    assert.equal(samples['fairlead_tokens_total{model="llama",kind="prompt"}'], 1_000);
    assert.equal(samples['fairlead_tokens_total{model="llama",kind="completion"}'], 50);
    assert.equal(samples['fairlead_in_flight{model="llama"}'], 3);
    assert.equal(samples['fairlead_settlements_total{kind="usage"}'], 7);
  });

  it('show pick times as a cumulative histogram', async () => {
    const samples = await scrape({ pickSeconds: { bounds: [0.001, 0.01], counts: [4, 2, 1], sum: 0.5 } });
    assert.equal(samples['fairlead_pick_seconds_bucket{le="0.001"}'], 4);
    assert.equal(samples['fairlead_pick_seconds_bucket{le="0.01"}'], 6);
    assert.equal(samples['fairlead_pick_seconds_bucket{le="+Inf"}'], 7);
    assert.equal(samples.fairlead_pick_seconds_count, 7);
    assert.equal(samples.fairlead_pick_seconds_sum, 0.5);
  });

  it('show the table, once there is one', async () => {
    const samples = await scrape({ tableVersion: '7-abc', tableReceivedAtMs: 60_000 });
    assert.equal(samples['fairlead_table_info{version="7-abc"}'], 1);
    assert.equal(samples.fairlead_table_age_seconds, 2);
    const names = Object.keys(await scrape({}));
    assert.deepEqual(
      names.filter(name => name.startsWith('fairlead_table')),
      [],
    );
  });

  it('show endpoints only where they are given, and add up those of one name and address', async () => {
    const row = { endpoint: 'pod-0', address: '10.0.0.1:8000', inFlight: 2, tokens: 30, usable: true };
    const samples = await scrape({
      endpoints: [row, { ...row, endpoint: 'pod-1', usable: false }, { ...row, usable: false }],
    });
    assert.equal(samples['fairlead_endpoint_in_flight{endpoint="pod-0",address="10.0.0.1:8000"}'], 4);
    assert.equal(samples['fairlead_endpoint_usable{endpoint="pod-1",address="10.0.0.1:8000"}'], 0);
    assert.equal(samples['fairlead_endpoint_usable{endpoint="pod-0",address="10.0.0.1:8000"}'], 1);
    assert.equal(samples['fairlead_endpoint_tokens{endpoint="pod-1",address="10.0.0.1:8000"}'], 30);
    assert.ok(!Object.keys(await scrape({})).some(name => name.startsWith('fairlead_endpoint')));
  });

  it('show limits and who used what, money in units of its currency', async () => {
    const samples = await scrape({ limits: LIMITS });
    assert.equal(samples['fairlead_consumer_requests_total{consumer="team-a"}'], 3);
    assert.equal(samples['fairlead_consumer_tokens_total{consumer="team-a",kind="output"}'], 5);
    assert.equal(samples['fairlead_consumer_cost_total{consumer="team-a",currency="EUR"}'], 1.5);
    assert.equal(
      samples['fairlead_limit_checks_total{scope="consumer",limit="1 request per minute",outcome="refused"}'],
      2,
    );
    assert.equal(samples['fairlead_budget_used_ratio{consumer="ml/team-a"}'], 0.9);
    assert.equal(samples.fairlead_limit_store_up, 0);
    assert.equal(samples.fairlead_requests_without_store_total, 7);
    assert.ok(!Object.keys(await scrape({})).some(name => name.includes('store')));
  });

  it('are all documented with the type and labels that they have', async () => {
    const endpoint = { endpoint: 'p', address: 'a', inFlight: 1, tokens: 1, usable: true };
    const { text, contentType } = await renderMetrics({
      ...EMPTY,
      requests: [{ model: 'm', backend: 'b', code: '200', count: 1 }],
      tokens: [{ model: 'm', kind: 'prompt', count: 1 }],
      inFlight: [{ model: 'm', count: 1 }],
      settlements: [{ kind: 'usage', count: 1 }],
      tableVersion: '1',
      endpoints: [endpoint],
      limits: LIMITS,
    });
    assert.match(contentType, /^text\/plain/);
    const types = [...text.matchAll(/^# TYPE (\S+) (\S+)$/gm)].map(([, name, type]) => [name, type]);
    assert.deepEqual(
      types.toSorted(),
      Object.values(METRICS)
        .map(({ name, type }) => [name, type])
        .toSorted(),
    );
    for (const { name, labels } of Object.values(METRICS)) {
      const line = text.split('\n').find(line => line.startsWith(name)) ?? '';
      const shown = [...line.matchAll(/(\w+)="/g)].map(([, label]) => label).filter(label => label !== 'le');
      assert.deepEqual(shown, [...labels]);
    }
  });
});
