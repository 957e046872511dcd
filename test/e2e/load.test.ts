import assert from 'node:assert/strict';
import { Agent, request } from 'node:http';
import { after, before, suite, test } from 'node:test';
import { type SimPod, startPod } from '../../sim/pod.ts';
import { Gateway, model } from './harness/gateway.ts';
import { until } from './harness/until.ts';

const MODEL = 'acme/load';
const REQUESTS = 10_000;
const CONCURRENCY = 200;

/** A line of the decision log. */
interface PickDecided {
  readonly id: string;
  readonly key: string;
  readonly chosen: readonly string[];
  readonly candidates: readonly Candidate[];
}

interface Candidate {
  readonly endpoint: string;
  readonly address: string;
  readonly inFlight: number;
  readonly unusable?: string;
}

/** How a request ended for its client. */
interface Outcome {
  readonly status: number;
  readonly complete: boolean;
  readonly endpoint: string;
  readonly body: string;
}

suite('10,000 requests, 200 at a time, while endpoints come, go and die', () => {
  const pods: SimPod[] = [];
  const agent = new Agent({ keepAlive: true, maxSockets: CONCURRENCY });
  let gateway: Gateway;

  const startOne = async (name: string): Promise<SimPod> => {
    const pod = await startPod({ name, models: [MODEL], timeScale: 50, rememberedRequests: 2 * REQUESTS });
    pods.push(pod);
    return pod;
  };

  const serve = (listed: readonly SimPod[]) =>
    gateway.write('models.yaml', [
      model(
        'load',
        listed.map(pod => pod.endpoint),
        { model: MODEL },
      ),
    ]);

  before(async () => {
    const first = await Promise.all(['a', 'b', 'c', 'd'].map(startOne));
    gateway = await Gateway.start({
      resources: [
        model(
          'load',
          first.map(pod => pod.endpoint),
          { model: MODEL },
        ),
      ],
      logLevel: 'debug',
    });
  });

  after(async () => {
    agent.destroy();
    await gateway?.close();
    await Promise.all(pods.map(pod => pod.close()));
  });

  const ask = (number: number): Promise<Outcome> =>
    new Promise((resolve, reject) => {
      const stream = number % 2 === 0;
      const messages = [{ role: 'user', content: `request ${number}` }];
      const body = JSON.stringify({ model: MODEL, messages, stream, max_tokens: 2 + (number % 7) });
      const headers = { 'content-type': 'application/json', 'content-length': body.length };
      const outgoing = request(`${gateway.url}/v1/chat/completions`, { method: 'POST', agent, headers }, response => {
        let text = '';
        const end = () => {
          const complete = response.complete && (!stream || response.statusCode !== 200 || text.includes('[DONE]'));
          const endpoint = String(response.headers['x-fairlead-endpoint']);
          resolve({ status: response.statusCode ?? 0, complete, endpoint, body: text });
        };
        response.setEncoding('utf8').on('data', chunk => {
          text += chunk;
        });
        response.on('end', end).on('error', end);
      });
      outgoing.on('error', reject);
      outgoing.end(body);
    });

  test('what could be retried elsewhere was, and every pick was a least one', async () => {
    const outcomes: Outcome[] = [];
    let next = 0;
    const client = async () => {
      while (next < REQUESTS) outcomes.push(await ask(next++));
    };
    const clients = Promise.all(Array.from({ length: CONCURRENCY }, client));

    const reached = (count: number) => until(`${count} answers`, () => outcomes.length >= count, 120_000);
    const [a, b, c, d] = pods as [SimPod, SimPod, SimPod, SimPod];
    await reached(1_500);
    const e = await startOne('e');
    serve([a, b, c, d, e]);
    await reached(3_000);
    serve([a, b, c, e]);
    await reached(4_500);
    a.fault({ kind: 'refuse', dropConnections: true });
    await reached(6_000);
    await a.clearFaults();
    const f = await startOne('f');
    serve([a, b, c, e, f]);
    await reached(7_500);
    await c.close();
    await reached(8_500);
    serve([a, b, e, f]);
    await clients;

    assert.equal(outcomes.length, REQUESTS);
    const refused = outcomes.filter(({ status }) => status !== 200);
    assert.deepEqual(refused.slice(0, 3), [], `${refused.length} requests were not answered with 200`);
    const truncated = outcomes.filter(({ complete }) => !complete);
    // Streams that had begun on a pod when it died cannot go on elsewhere; static endpoints are named by their index.
    assert.ok(truncated.length <= CONCURRENCY, `${truncated.length} answers were cut`);

    await until('nothing in flight', async () => (await gateway.metric(`fairlead_in_flight{model="${MODEL}"}`)) === 0);
    for (const { inFlight } of (await gateway.explain(MODEL)).endpoints) assert.equal(inFlight, 0);
    const picks = gateway.events<PickDecided>('pick.decided');
    assert.equal(picks.length, REQUESTS);
    assertOnlyOnPickedPods(picks, pods);
    assertLeast(picks);
    assert.match(await gateway.metrics(), /fairlead_settlements_total\{kind="usage"\} \d{4}/);
  });
});

/** Every request that reached a pod was picked for it, as one of its candidates. */
function assertOnlyOnPickedPods(picks: readonly PickDecided[], pods: readonly SimPod[]): void {
  const addressesOf = new Map(picks.map(pick => [pick.id, chosenAddresses(pick)]));
  let seen = 0;
  for (const pod of pods) {
    for (const { headers } of pod.requests) {
      const [id = ''] = headers['x-fairlead-id'] ?? [];
      assert.ok(addressesOf.get(id)?.includes(pod.endpoint), `${id} was on ${pod.name} (${pod.endpoint})`);
      seen++;
    }
  }
  assert.ok(seen >= REQUESTS, `${seen} requests were recorded`);
}

function chosenAddresses({ chosen, candidates }: PickDecided): string[] {
  return candidates.filter(({ endpoint }) => chosen.includes(endpoint)).map(({ address }) => address);
}

/** The first choice had no more in flight than any other that was usable. */
function assertLeast(picks: readonly PickDecided[]): void {
  for (const { id, chosen, candidates } of picks) {
    const usable = candidates.filter(({ unusable }) => unusable === undefined);
    const least = Math.min(...usable.map(({ inFlight }) => inFlight));
    const first = candidates.find(({ endpoint }) => endpoint === chosen[0]);
    assert.equal(first?.inFlight, least, `pick ${id}`);
  }
}

test('shuffle: over an unchanged set every cycle has each endpoint once', async t => {
  const pods = await Promise.all(['a', 'b', 'c', 'd'].map(name => startPod({ name, models: [MODEL], timeScale: 50 })));
  const shuffled = model(
    'shuffled',
    pods.map(pod => pod.endpoint),
    { model: MODEL, routing: { strategy: 'shuffle' } },
  );
  const gateway = await Gateway.start({ resources: [shuffled], logLevel: 'debug' });
  t.after(async () => {
    await gateway.close();
    await Promise.all(pods.map(pod => pod.close()));
  });
  await Promise.all(Array.from({ length: 400 }, async () => (await gateway.chat(MODEL, {}, { max_tokens: 1 })).text()));
  const first = gateway.events<PickDecided>('pick.decided').map(({ chosen }) => chosen[0]);
  assert.equal(first.length, 400);
  for (let at = 0; at < first.length; at += 4) assert.equal(new Set(first.slice(at, at + 4)).size, 4, `cycle at ${at}`);
});
