import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { after, before, suite, test } from 'node:test';
import type { Fault } from '../../sim/faults.ts';
import type { SimPod } from '../../sim/pod.ts';
import { assertOnlyPicked } from './harness/decisions.ts';
import { Gateway, type Manifest, model } from './harness/gateway.ts';
import { ModelBench } from './harness/model-bench.ts';
import { podDocument } from './harness/pod-document.ts';
import { until } from './harness/until.ts';

/** Headers that may take less long than a gap have another clock in Envoy than those that may take as long. */
const IMPATIENT = { timeouts: { headers: '300ms' } };
const EVENLY_IMPATIENT = { timeouts: { headers: '300ms', idle: '300ms' } };

interface Retried {
  readonly name: string;
  readonly fault: Fault;
  /** What explain says of the endpoint. */
  readonly failure: RegExp;
  readonly spec?: Manifest;
}

/** Ways to fail after which the next candidate gets the request. */
const RETRIED: readonly Retried[] = [
  { name: 'refuses', fault: { kind: 'refuse', dropConnections: true }, failure: /^no answer connect UF/ },
  { name: 'answers-503', fault: { kind: 'status', status: 503 }, failure: /^503 status/ },
  { name: 'answers-429', fault: { kind: 'status', status: 429 }, failure: /^429 not held against it/ },
  { name: 'resets', fault: { kind: 'reset-before-headers' }, failure: /^no answer reset U/ },
  { name: 'stalls', fault: { kind: 'stall' }, failure: /^no answer timeout/, spec: IMPATIENT },
  { name: 'stalls-evenly', fault: { kind: 'stall' }, failure: /^no answer timeout/, spec: EVENLY_IMPATIENT },
];

/** What the client gets when all candidates fail in the same way. */
const EXHAUSTED: readonly (readonly [name: string, fault: Fault, status: number, code: string, spec?: Manifest])[] = [
  ['all-refuse', { kind: 'refuse', dropConnections: true }, 503, 'no_ready_endpoints'],
  ['all-reset', { kind: 'reset-before-headers' }, 502, 'upstream_reset'],
  ['all-stall', { kind: 'stall' }, 504, 'upstream_headers_timeout', IMPATIENT],
  ['all-stall-evenly', { kind: 'stall' }, 504, 'upstream_headers_timeout', EVENLY_IMPATIENT],
];

/** Answers of a pod's own that no other pod could better. */
const OWN = [400, 404, 422, 500, 502, 504] as const;

suite('retries and ejection', () => {
  let gateway: Gateway;
  let bench: ModelBench;

  before(async () => {
    gateway = await Gateway.start({ resources: [], logLevel: 'debug' });
    bench = new ModelBench(gateway);
  });

  after(async () => {
    await gateway?.close();
    await bench?.close();
  });

  async function pair(name: string, spec?: Manifest): Promise<[SimPod, SimPod]> {
    return (await bench.serve(name, 2, spec)) as [SimPod, SimPod];
  }

  for (const { name, fault, failure, spec } of RETRIED) {
    test(`the first candidate ${name}: the other one answers`, async () => {
      const [bad, good] = await pair(name, spec);
      bad.fault(fault);
      const answers = await bench.askTimes(name, 2);
      assert.deepEqual(answers.map(({ chosen }) => chosen[0]).sort(), ['pods-0', 'pods-1'], 'each was first once');
      for (const { status, headers, text } of answers) {
        assert.equal(status, 200, text);
        assert.equal(headers.get('x-sim-pod'), good.name);
        assert.equal(headers.get('x-fairlead-endpoint'), 'pods-1');
      }
      assert.equal(good.requests.length, 2);
      assert.equal(bad.requests.length, fault.kind === 'refuse' ? 0 : 1);
      const failures = await until('the failed attempt', async () => {
        const { failures } = await bench.endpoint(name, bad);
        return failures.length > 0 && failures;
      });
      assert.equal(failures.length, 1);
      assert.match(failures[0] ?? '', failure);
      assert.deepEqual((await bench.endpoint(name, good)).failures, []);
    });
  }

  for (const [name, fault, status, code, spec] of EXHAUSTED) {
    test(`${name}: the error of the table`, async () => {
      const pods = await pair(name, spec);
      for (const pod of pods) pod.fault(fault);
      const answer = await bench.ask(name);
      assert.equal(answer.status, status, answer.text);
      assert.equal(JSON.parse(answer.text).error.code, code);
      assert.deepEqual(
        pods.map(({ requests }) => requests.length),
        fault.kind === 'refuse' ? [0, 0] : [1, 1],
        'each was tried once',
      );
      const sample = `fairlead_requests_total{model="${name}",backend="pods",code="${code}"}`;
      await until('the metric', async () => (await gateway.metric(sample)) === 1);
    });
  }

  test('all candidates answer 503: the last answer passes as it is', async () => {
    const body = '{"error":{"message":"Loading weights","type":"Busy","code":503}}';
    const pods = await pair('all-503');
    for (const pod of pods) pod.fault({ kind: 'status', status: 503, body });
    const answer = await bench.ask('all-503');
    assert.equal(answer.status, 503);
    assert.equal(answer.text, body);
    assert.deepEqual(
      pods.map(({ requests }) => requests.length),
      [1, 1],
    );
  });

  test("a pod's own answer passes unchanged, and nobody else is asked", async () => {
    const pods = await pair('own');
    for (const status of OWN) {
      const body = `{"error":{"message":"Because of ${status}"}}`;
      for (const pod of pods) pod.fault({ kind: 'status', status, body, times: 1 });
      const before = pods.map(({ requests }) => requests.length);
      for (const answer of await bench.askTimes('own', 2)) {
        assert.equal(answer.status, status);
        assert.equal(answer.text, body);
        assert.equal(answer.headers.get('content-type'), 'application/json');
      }
      assert.deepEqual(
        pods.map(({ requests }, index) => requests.length - (before[index] ?? 0)),
        [1, 1],
      );
    }
  });

  test('no retries where the model wants none', async () => {
    const pods = await pair('no-retries', { retries: { attempts: 0 } });
    pods[0].fault({ kind: 'status', status: 503 });
    const answers = await bench.askTimes('no-retries', 2);
    assert.deepEqual(answers.map(({ status }) => status).sort(), [200, 503]);
    assert.ok(answers.every(({ chosen }) => chosen.length === 1));
    assert.deepEqual(
      pods.map(({ requests }) => requests.length),
      [1, 1],
    );
  });

  test('never beyond the candidates, though there are others', async () => {
    const pods = await bench.serve('bounded', 3, { retries: { attempts: 1 }, routing: { strategy: 'random' } });
    // 429 ejects nobody, so every pick is among all three.
    for (const pod of pods.slice(0, 2)) pod.fault({ kind: 'status', status: 429 });
    const answers = await bench.askTimes('bounded', 30);
    for (const { status, chosen } of answers) {
      assert.equal(chosen.length, 2);
      assert.equal(status, chosen.includes('pods-2') ? 200 : 429);
    }
    assert.ok(
      answers.some(({ status }) => status === 429),
      'the two bad ones were candidates together',
    );
    const attempts = pods.reduce((sum, { requests }) => sum + requests.length, 0);
    const needed = answers.reduce((sum, { chosen }) => sum + (chosen[0] === 'pods-2' ? 1 : 2), 0);
    assert.equal(attempts, needed);
  });

  for (const fault of [{ kind: 'refuse' }, { kind: 'status', status: 503 }] satisfies Fault[]) {
    test(`30 MB whose first candidate fails (${fault.kind}) arrive byte for byte`, async () => {
      const name = `big-${fault.kind}`;
      const [bad, good] = (await bench.serve(
        name,
        2,
        { backend: { model: `upstream-${name}` } },
        { models: [`upstream-${name}`] },
      )) as [SimPod, SimPod];
      bad.fault(fault);
      const padding = 'fairlead '.repeat(3_500_000);
      for (const answer of await Promise.all([bench.ask(name, { padding }), bench.ask(name, { padding })])) {
        assert.equal(answer.status, 200, answer.text);
      }
      const messages = [{ role: 'user', content: 'Hi' }];
      const expected = JSON.stringify({ model: `upstream-${name}`, messages, max_tokens: 4, padding });
      const sha256 = createHash('sha256').update(expected).digest('hex');
      assert.ok(expected.length > 30e6);
      assert.equal(good.requests.length, 2);
      for (const { bodySha256, bodyBytes } of [...good.requests, ...bad.requests]) {
        assert.equal(bodyBytes, expected.length);
        assert.equal(bodySha256, sha256);
      }
    });
  }

  test('a reset in the middle of a stream truncates it, is counted and held against the endpoint', async () => {
    const [pod] = (await bench.serve('cut', 1)) as [SimPod];
    pod.fault({ kind: 'reset-mid-stream', times: 3 });
    for (let cut = 1; cut <= 3; cut++) {
      const response = await gateway.chat('cut', {}, { stream: true, max_tokens: 50 });
      assert.equal(response.status, 200);
      await assert.rejects(response.text());
      const counted = 'fairlead_requests_total{model="cut",backend="pods",code="upstream_reset"}';
      await until('the metric', async () => (await gateway.metric(counted)) === cut);
    }
    const { failures, reason } = await bench.endpoint('cut', pod);
    assert.match(failures[0] ?? '', /^200 reset UPE/);
    assert.equal(failures.length, 3);
    assert.equal(reason, 'ejected');
    // The only endpoint is asked all the same, and its good answers count.
    assert.equal((await bench.ask('cut')).status, 200);
    await until(
      'trust in the endpoint',
      async () => (await bench.ask('cut')) && (await bench.endpoint('cut', pod)).usable,
    );
  });

  test('ejected after failures in a row, left alone, probed, and back', async () => {
    const [bad] = await pair('ejected');
    let asked = 0;
    const ask = () => {
      asked++;
      return bench.ask('ejected');
    };
    bad.fault({ kind: 'status', status: 503 });
    await until('the ejection', async () => {
      assert.equal((await ask()).status, 200);
      return (await bench.endpoint('ejected', bad)).reason === 'ejected';
    });
    const tried = bad.requests.length;
    assert.ok(tried >= 3);
    assert.match((await bench.endpoint('ejected', bad)).failures[0] ?? '', /^503 status/);
    await bad.clearFaults();
    // It is well now, which only a request can find out: the first that goes there is the probe.
    await until('the probe', async () => (await ask()).headers.get('x-sim-pod') === bad.name);
    assert.equal(bad.requests.length, tried + 1);
    await until('the end of the ejection', async () => (await bench.endpoint('ejected', bad)).usable);
    for (const { headers } of [await ask(), await ask()]) assert.match(headers.get('x-sim-pod') ?? '', /^ejected-/);
    const decisions = await bench.decisions('ejected', asked);
    const views = decisions.map(({ candidates }) => candidates.find(({ address }) => address === bad.endpoint));
    assert.equal(views.at(0)?.unusable, undefined);
    assert.ok(views.some(view => view?.unusable === 'ejected'));
    assert.equal(views.at(-1)?.unusable, undefined);
    for (const [index, { addresses }] of decisions.entries()) {
      assert.equal(addresses.includes(bad.endpoint), views[index]?.unusable === undefined);
    }
  });

  test('429 and other 4xx eject nobody', async () => {
    const [throttled] = await pair('throttled');
    for (const status of [429, 400]) throttled.fault({ kind: 'status', status, times: 6 });
    const answers = await bench.askTimes('throttled', 24);
    assert.equal(answers.filter(({ status }) => status === 400).length, 6);
    assert.equal(throttled.requests.length, 12, 'every second request came here first');
    await until('the record of the last failure', async () => {
      const [failure] = (await bench.endpoint('throttled', throttled)).failures;
      return failure?.startsWith('429');
    });
    const views = (await bench.decisions('throttled', 24)).flatMap(({ candidates }) => candidates);
    assert.ok(views.every(({ unusable }) => unusable === undefined));
    assert.equal((await bench.endpoint('throttled', throttled)).usable, true);
  });

  test('a single endpoint that is ejected is the last resort', async () => {
    const [only] = (await bench.serve('single', 1)) as [SimPod];
    only.fault({ kind: 'status', status: 503, times: 4 });
    for (const { status } of await bench.askTimes('single', 4)) assert.equal(status, 503);
    await until('the ejection', async () => (await bench.endpoint('single', only)).reason === 'ejected');
    assert.equal((await bench.ask('single')).status, 200);
    assert.equal(only.requests.length, 5);
  });

  test('all candidates of a request are of one backend', async () => {
    const pods = await bench.start('mixed', 4);
    const [one, two, three, four] = pods.map(({ endpoint }) => endpoint);
    const backend = (name: string, endpoints: unknown[]) => ({ name, runtime: 'vllm', endpoints });
    const mixed = model('mixed', [], { backends: [backend('a', [one, two]), backend('b', [three, four])] });
    gateway.write('mixed.yaml', [mixed]);
    await gateway.untilServed('mixed', 4);
    const answers = await bench.askTimes('mixed', 20);
    assert.ok(answers.every(({ chosen }) => chosen.length === 2 && chosen[0]?.[0] === chosen[1]?.[0]));
    assert.deepEqual(new Set(answers.map(({ chosen }) => chosen[0]?.[0])), new Set(['a', 'b']));
  });

  test('the next priority takes over while all of the first drain, and when they are dead', async () => {
    const [local, cloud] = (await bench.start('ranked', 2)) as [SimPod, SimPod];
    const selector = { matchLabels: { app: 'ranked' } };
    const ranked = model('ranked', [], {
      backends: [
        { name: 'cloud', runtime: 'vllm', priority: 1, endpoints: [cloud.endpoint] },
        { name: 'local', runtime: 'vllm', pods: { selector, port: local.port } },
      ],
    });
    const write = (terminating: boolean) =>
      gateway.write('ranked.yaml', [ranked, podDocument(local, selector.matchLabels, terminating)]);
    const backendOf = async () => (await bench.ask('ranked')).headers.get('x-fairlead-backend');
    write(false);
    await gateway.untilServed('ranked', 2);
    assert.equal(await backendOf(), 'local');
    write(true);
    await gateway.untilServed('ranked', 1);
    assert.equal(await backendOf(), 'cloud');
    write(false);
    await gateway.untilServed('ranked', 2);
    assert.equal(await backendOf(), 'local');
    local.fault({ kind: 'refuse', dropConnections: true });
    await until('the next priority', async () => (await backendOf()) === 'cloud');
    assert.equal((await bench.endpoint('ranked', local)).reason, 'ejected');
    assert.equal(await backendOf(), 'cloud');
  });

  test('in the end nothing is in flight, and no request was where it was not picked for', async () => {
    await bench.untilNothingInFlight();
    const small = bench.pods.filter(({ name }) => !name.startsWith('big'));
    assertOnlyPicked(small, gateway.events('pick.decided'));
  });
});
