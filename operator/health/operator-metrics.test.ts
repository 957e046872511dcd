import assert from 'node:assert/strict';
import { test } from 'node:test';
import { OPERATOR_METRICS } from '../../telemetry/operator-metric-list.ts';
import { OperatorMetrics } from './operator-metrics.ts';

/** The samples of ours: "name{labels}" to value. */
async function scrape(metrics: OperatorMetrics): Promise<Record<string, number>> {
  const { text } = await metrics.render();
  const samples = text.split('\n').filter(line => line.startsWith('fairlead_'));
  return Object.fromEntries(
    samples.map(line => [line.slice(0, line.lastIndexOf(' ')), Number(line.split(' ').at(-1))]),
  );
}

test('they show what was counted, and the leader and agents of the moment', async () => {
  const view = { isLeading: false, version: '', connected: 0, lacking: 0, streams: {} };
  const metrics = new OperatorMetrics({
    leading: () => view.isLeading,
    version: () => view.version,
    agents: () => view.connected,
    withoutLimitStore: () => view.lacking,
    streams: () => view.streams,
  });
  assert.equal((await scrape(metrics)).fairlead_operator_leader, 0);
  Object.assign(view, { version: '1-a' });
  await scrape(metrics);
  const streams = { admitted: 6, refused: 1 };
  Object.assign(view, { isLeading: true, version: '2-b', connected: 3, lacking: 1, streams });
  metrics.planned({ models: 1, consumers: 1, endpoints: 2, tookMs: 4 });
  metrics.planned({ models: 5, consumers: 7, endpoints: 9, tookMs: 40 });
  metrics.budgetEvent('exhausted');
  metrics.statusWrite('written');
  metrics.statusWrite('written');
  metrics.statusWrite('failed');
  metrics.sourceListed('/api/v1/pods');
  metrics.sourceInterrupted('/api/v1/pods');
  const samples = await scrape(metrics);
  const expected = {
    fairlead_operator_leader: 1,
    fairlead_operator_agents: 3,
    'fairlead_operator_agent_streams_total{result="admitted"}': 6,
    'fairlead_operator_agent_streams_total{result="refused"}': 1,
    'fairlead_operator_table_info{version="2-b"}': 1,
    fairlead_operator_models: 5,
    fairlead_operator_consumers: 7,
    fairlead_operator_agents_without_limit_store: 1,
    'fairlead_operator_budget_events_total{event="exhausted"}': 1,
    fairlead_operator_endpoints: 9,
    fairlead_operator_plan_seconds_count: 2,
    'fairlead_operator_plan_seconds_bucket{le="0.005"}': 1,
    'fairlead_operator_status_writes_total{result="written"}': 2,
    'fairlead_operator_status_writes_total{result="failed"}': 1,
    'fairlead_operator_source_lists_total{collection="/api/v1/pods"}': 1,
    'fairlead_operator_source_interruptions_total{collection="/api/v1/pods"}': 1,
  };
  for (const [name, value] of Object.entries(expected)) assert.equal(samples[name], value, name);
  assert.ok(!('fairlead_operator_table_info{version="1-a"}' in samples));
});

test('they are all documented with the type that they have, beside those of the process', async () => {
  const metrics = new OperatorMetrics({
    leading: () => true,
    version: () => '',
    agents: () => 0,
    withoutLimitStore: () => 0,
    streams: () => ({}),
  });
  const { text, contentType } = await metrics.render();
  assert.match(contentType, /^text\/plain/);
  const types = [...text.matchAll(/^# TYPE (fairlead_\S+) (\S+)$/gm)].map(([, name, type]) => [name, type]);
  const listed = Object.values(OPERATOR_METRICS).map(({ name, type }) => [name, type]);
  assert.deepEqual(types.toSorted(), listed.toSorted());
  assert.match(text, /^process_resident_memory_bytes \d/m);
  assert.match(text, /^nodejs_eventloop_lag_p99_seconds /m);
});
