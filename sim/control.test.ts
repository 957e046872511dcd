import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { serveControl } from './control.ts';
import { type SimPod, startPods } from './pod.ts';

describe('the control listener', () => {
  let pods: SimPod[];
  let url: string;
  let stop: AbortController;
  beforeEach(async () => {
    stop = new AbortController();
    pods = await startPods(['a', 'b'].map(name => ({ name, models: ['m'], timeScale: 100 })));
    url = `http://${await serveControl({ pods }, '127.0.0.1:0', stop)}`;
  });
  afterEach(async () => {
    stop.abort();
    await Promise.all(pods.map(pod => pod.close()));
  });

  const order = (body: unknown) => fetch(`${url}/sim/faults`, { method: 'POST', body: JSON.stringify(body) });
  const statusOf = async (pod: SimPod | undefined) => {
    const headers = { 'content-type': 'application/json' };
    const response = await fetch(`${pod?.url}/v1/completions`, { method: 'POST', headers, body: '{"prompt":"x"}' });
    await response.text();
    return response.status;
  };

  test('makes one pod fail and lifts that', async () => {
    const ordered = await order({ pod: 'b', fault: { kind: 'status', status: 503 } });
    assert.deepEqual([ordered.status, await ordered.json()], [200, ['b']]);
    assert.deepEqual([await statusOf(pods[0]), await statusOf(pods[1])], [200, 503]);
    await fetch(`${url}/sim/faults?pod=b`, { method: 'DELETE' });
    assert.equal(await statusOf(pods[1]), 200);
  });

  test('makes all of them refuse, and is still there to end it', async () => {
    await order({ fault: { kind: 'refuse' } });
    for (const pod of pods) await assert.rejects(statusOf(pod));
    const lifted = await fetch(`${url}/sim/faults`, { method: 'DELETE' });
    assert.deepEqual(await lifted.json(), ['a', 'b']);
    for (const pod of pods) assert.equal(await statusOf(pod), 200);
  });

  test('shows pods and what reached them', async () => {
    await statusOf(pods[1]);
    const listed = (await (await fetch(`${url}/sim/pods`)).json()) as { name: string; endpoint: string }[];
    assert.deepEqual(
      listed.map(({ name, endpoint }) => [name, endpoint]),
      pods.map(({ name, endpoint }) => [name, endpoint]),
    );
    const seen = (await (await fetch(`${url}/sim/requests?pod=b`)).json()) as { requests: { path: string }[] }[];
    assert.deepEqual(
      seen[0]?.requests.map(({ path }) => path),
      ['/v1/completions'],
    );
  });

  test('says what is wrong with an order', async () => {
    const cases: [body: unknown, status: number, message: RegExp][] = [
      [{ fault: { kind: 'explode' } }, 400, /kind/],
      [{ fault: { kind: 'status', status: 200 } }, 400, /status/],
      [{ fault: { kind: 'stall', afterToken: 3 } }, 400, /afterToken/],
      [{ pod: 'c', fault: { kind: 'refuse' } }, 404, /no pod is called c/],
    ];
    for (const [body, status, message] of cases) {
      const response = await order(body);
      assert.equal(response.status, status);
      assert.match(((await response.json()) as { error: string }).error, message);
    }
    assert.equal((await fetch(`${url}/sim/faults`, { method: 'POST', body: '{' })).status, 400);
    assert.equal((await fetch(url)).status, 404);
  });

  test('a place that cannot be had is named', async () => {
    const taken = url.slice('http://'.length);
    await assert.rejects(serveControl({ pods }, taken, stop), new RegExp(taken));
    await assert.rejects(serveControl({ pods }, 'nowhere', stop), /nowhere is not host:port/);
  });
});
