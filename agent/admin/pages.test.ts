import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type DataThread, NoAnswer } from '../ask.ts';
import { sampleTable } from '../envoy/sample-table.fixture.ts';
import { healthPages, type TableView } from './pages.ts';

const STUCK = new NoAnswer('the data thread did not answer within 2000 ms');

function health(alive: Promise<void>, view: Partial<TableView> = {}) {
  const data: DataThread = {
    alive: () => alive,
    snapshot: () => Promise.reject(STUCK),
    explain: () => Promise.reject(STUCK),
    apply: () => Promise.reject(STUCK),
    onLimits: () => undefined,
  };
  const waiting: TableView = {
    nodeId: 'node',
    controlPlane: { address: 'unix:/none', connected: false },
    envoy: { connected: false, refused: [] },
    table: undefined,
    receivedAtMs: 0,
    limitStoreFailure: '',
  };
  const pages = healthPages(data, () => ({ ...waiting, ...view }));
  return async (page: string) => {
    const { status, body } = (await pages.get(page)?.(new URLSearchParams())) ?? assert.fail(page);
    return `${status} ${JSON.parse(body).error ?? JSON.parse(body).reason ?? ''}`;
  };
}

test('a node without a table lives: its Envoy waits for the table, and starting it again would bring none', async () => {
  assert.equal(await health(Promise.resolve())('/livez'), '200 ');
});

test('a data thread that is stuck is no life', async () => {
  assert.equal(await health(Promise.reject(STUCK))('/livez'), `503 ${STUCK.message}`);
});

test('ready is who has a table and an Envoy', async () => {
  const alive = Promise.resolve();
  const table = sampleTable({});
  const envoy = { connected: true, refused: [] };
  assert.equal(await health(alive, { envoy })('/readyz'), '503 no route table yet');
  assert.equal(await health(alive, { table })('/readyz'), '503 Envoy is not connected');
  assert.equal(await health(alive, { table, envoy })('/readyz'), '200 ');
  assert.equal(await health(alive, { table, envoy, limitStoreFailure: 'ECONNREFUSED' })('/readyz'), '200 ');
});
