import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { after, before, suite, test } from 'node:test';
import { followCollection } from '../../../operator/source/kubernetes/list-watch.ts';
import { Replica } from '../../../operator/source/kubernetes/replica.ts';
import { SteadyLoad } from '../../e2e/harness/steady-load.ts';
import { until } from '../../e2e/harness/until.ts';
import { apiOf } from '../api-objects.ts';
import { Gateways } from './gateways.ts';
import { EXAMPLE_MODEL, Installation, isReady, type ListedPod } from './installation.ts';
import { Load } from './load.ts';

const LLAMA = 'app=llama';
/** Pods of a StatefulSet, which keep their names, behind a gate that the test opens and closes. */
const GATED = 'app=gated';
const GATED_MODEL = 'acme/gated';
const GATE = 'fairlead.dev/in-service';
/** Of the simulated GPU's time: 8 s. */
const LONG_TOKENS = 1_000;

/** A pod that every gateway had taken out at a time, and until when. */
interface Absence {
  readonly pod: string;
  readonly fromMs: number;
  untilMs: number;
}

suite('endpoints follow pods under load', { timeout: 600_000 }, () => {
  const absences: Absence[] = [];
  const readyAtMs = new Map<string, number>();
  const watching = new AbortController();
  let installation: Installation;
  let gateways: Gateways;
  let url = '';
  let requests = 0;

  before(async () => {
    installation = await Installation.prepare();
    await installation.install();
    watchReadiness();
    await installation.applyExample('model.yaml');
    for (const document of gatedDocuments()) await installation.apply(document);
    gateways = await Gateways.of(installation);
    url = await installation.url();
    const pods = await installation.untilPods('the first pods', LLAMA, pods => pods.filter(isReady).length === 3);
    await gateways.untilPicking(EXAMPLE_MODEL, names(pods));
  });

  after(async () => {
    watching.abort();
    await installation?.stop();
  });

  /** Notes when each pod is first seen to be ready, as the operator sees it. */
  function watchReadiness(): void {
    const replica = new Replica<ListedPod>(object => object as unknown as ListedPod);
    void followCollection({
      api: apiOf(installation.cluster),
      collection: { groupVersion: '/api/v1', plural: 'pods', namespace: installation.namespace },
      replica,
      signal: watching.signal,
      onChange: () => {
        for (const pod of replica.values.values()) {
          const { name } = pod.metadata;
          if (isReady(pod) && !readyAtMs.has(name)) readyAtMs.set(name, Date.now());
        }
      },
      onEvent: () => {},
    });
  }

  /** Does something while clients ask, all of whom are answered. */
  async function underLoad(model: string, act: (load: Load) => Promise<void>): Promise<void> {
    const load = new Load({ url, model, intervalMs: 40 });
    try {
      await load.untilMore(20);
      await act(load);
    } finally {
      await load.stop();
    }
    requests += load.answers.length;
    assert.deepEqual(load.failures, []);
  }

  /** The same with answers that are not streamed, which are whole or can be had again elsewhere. */
  async function underPlainLoad(act: (load: SteadyLoad) => Promise<void>): Promise<void> {
    const load = new SteadyLoad({ url, clients: 6, models: ['llama'], streams: false, tokens: 20 });
    try {
      await load.untilMore(20);
      await act(load);
    } finally {
      await load.stop();
    }
    requests += load.answers.length;
    assert.deepEqual(load.failures, []);
  }

  const left = (pods: readonly string[], fromMs: number) => {
    for (const pod of pods) absences.push({ pod, fromMs, untilMs: Number.POSITIVE_INFINITY });
  };

  const readyPods = (selector: string, count: number) =>
    installation.untilPods(`${count} ready pods of ${selector}`, selector, pods => {
      const ready = pods.filter(isReady);
      return ready.length === count && pods.length === count;
    });

  /** Scales, and waits until all gateways follow; pods on their way out may still be there. */
  async function scale(replicas: number): Promise<void> {
    const before = names((await installation.pods(LLAMA)).filter(isReady));
    await installation.kubectl(['scale', 'deployment/llama', `--replicas=${replicas}`]);
    const pods = await installation.untilPods(
      `${replicas} ready pods`,
      LLAMA,
      pods => pods.filter(isReady).length === replicas,
    );
    const now = names(pods.filter(isReady));
    const atMs = await gateways.untilPicking(EXAMPLE_MODEL, now);
    left(
      before.filter(name => !now.includes(name)),
      atMs,
    );
  }

  test('a Deployment is scaled from 3 to 6 to 1 to 3', async () => {
    await underLoad('llama', async load => {
      await scale(6);
      await load.untilMore(60);
      const six = names((await installation.pods(LLAMA)).filter(isReady));
      const asked = new Set(load.answers.map(({ pod }) => pod));
      assert.deepEqual(
        six.filter(name => !asked.has(name)),
        [],
        'who is ready is asked',
      );
      await scale(1);
      await load.untilMore(40);
      await scale(3);
      await load.untilMore(60);
    });
    await readyPods(LLAMA, 3);
  });

  test('a pod that is deleted with grace completes its streams and gets nothing new', async () => {
    await underLoad('llama', async load => {
      const streams = await Promise.all(Array.from({ length: 4 }, () => openStream(url)));
      const [leaving = ''] = streams.map(({ pod }) => pod);
      const stay = names((await installation.pods(LLAMA)).filter(isReady)).filter(name => name !== leaving);
      let ended = 0;
      for (const { whole } of streams) void whole.finally(() => ended++);
      await installation.kubectl(['delete', 'pod', leaving, '--wait=false']);
      left([leaving], await gateways.untilNotPicking(EXAMPLE_MODEL, leaving));
      assert.equal(ended, 0, 'streams go on');
      const pods = await installation.untilPods('another pod instead', LLAMA, pods => {
        const ready = names(pods.filter(isReady));
        return ready.length === 3 && !ready.includes(leaving);
      });
      const now = names(pods.filter(isReady));
      await gateways.untilPicking(EXAMPLE_MODEL, now);
      assert.deepEqual(
        stay.filter(name => !now.includes(name)),
        [],
        'the others stay',
      );
      for (const { whole } of streams) assert.match(await whole, /data: \[DONE\]\n\n$/);
      requests += streams.length;
      await load.untilMore(40);
    });
    await readyPods(LLAMA, 3);
  });

  test('a pod that is deleted without grace', async () => {
    await underPlainLoad(async load => {
      const [leaving = ''] = names((await installation.pods(LLAMA)).filter(isReady));
      await installation.kubectl(['delete', 'pod', leaving, '--grace-period=0', '--force']);
      const pods = await installation.untilPods('another pod instead', LLAMA, pods => {
        const ready = names(pods.filter(isReady));
        return ready.length === 3 && !ready.includes(leaving);
      });
      left([leaving], await gateways.untilPicking(EXAMPLE_MODEL, names(pods.filter(isReady))));
      await load.untilMore(60);
    });
  });

  test('a pod whose process dies: what it had is answered by others, and it is asked again when it is back', async () => {
    await underPlainLoad(async load => {
      const [dying = ''] = names((await installation.pods(LLAMA)).filter(isReady));
      process.kill(processOf(dying), 'SIGKILL');
      const restarted = async () => {
        const path = 'jsonpath={.status.containerStatuses[0].restartCount} {.status.containerStatuses[0].ready}';
        return (await installation.kubectl(['get', 'pod', dying, '-o', path])) === '1 true';
      };
      await until(`${dying} to be back`, restarted, 60_000);
      await readyPods(LLAMA, 3);
      const answered = load.answers.length;
      await until(`an answer of ${dying}`, () => load.answers.slice(answered).some(({ pod }) => pod === dying), 60_000);
    });
  });

  test('a pod that ceases to be ready gets nothing until it is again', async () => {
    await openGate('gated-0', 'True');
    await openGate('gated-1', 'True');
    await gateways.untilPicking(GATED_MODEL, names(await readyPods(GATED, 2)));
    await underLoad(GATED_MODEL, async load => {
      await until('answers of both', () => new Set(load.answers.map(({ pod }) => pod)).size === 2);
      for (let flip = 0; flip < 2; flip++) {
        await openGate('gated-0', 'False');
        left(['gated-0'], await gateways.untilPicking(GATED_MODEL, ['gated-1']));
        await load.untilMore(0);
        const reached = await lastRequest('gated-0');
        await load.untilMore(25);
        assert.equal(await lastRequest('gated-0'), reached, 'nothing reaches it');
        const absence = absences.at(-1) ?? assert.fail();
        absence.untilMs = Date.now();
        await openGate('gated-0', 'True');
        await gateways.untilPicking(GATED_MODEL, ['gated-0', 'gated-1']);
        const answered = load.answers.length;
        await until('an answer of it', () => load.answers.slice(answered).some(({ pod }) => pod === 'gated-0'));
      }
    });
  });

  test('a pod that comes again under its name at another address is followed there', async () => {
    const addressOf = async (name: string) =>
      (await installation.pods(GATED)).find(({ metadata }) => metadata.name === name)?.status.podIP;
    await underLoad(GATED_MODEL, async load => {
      const [before, other] = [await addressOf('gated-0'), await addressOf('gated-1')];
      await installation.kubectl(['delete', 'pod', 'gated-0', '--wait=false']);
      const now = await until(
        'another address',
        async () => {
          const address = await addressOf('gated-0');
          return address !== before && address;
        },
        60_000,
      );
      await openGate('gated-0', 'True');
      await gateways.untilPicking(GATED_MODEL, [`gated-0 ${now}:8000`, `gated-1 ${other}:8000`]);
      const answered = load.answers.length;
      await until('an answer of it', () => load.answers.slice(answered).some(({ pod }) => pod === 'gated-0'));
    });
  });

  test('nothing was sent to a pod after every gateway had taken it out', async t => {
    const records = await gateways.records(requests);
    const wrong = absences.flatMap(({ pod, fromMs, untilMs }) =>
      records.filter(record => record.pod === pod && record.atMs > fromMs && record.atMs < untilMs),
    );
    assert.deepEqual(wrong, []);
    assert.deepEqual(new Set(records.map(({ code }) => code)), new Set([200]));
    assert.ok(absences.length >= 9, `${absences.length} absences`);
    const waits = [...readyAtMs].flatMap(([name, atMs]) => {
      const first = records.find(({ pod }) => pod === name);
      // A pod that was ready before anybody asked tells nothing of how long it takes.
      const asked = records.some(record => record.atMs < atMs && record.atMs > atMs - 500);
      return first && asked && !name.startsWith('gated') ? [first.atMs - atMs] : [];
    });
    const sorted = waits.sort((one, other) => one - other);
    t.diagnostic(`from Ready to the first request, ms: p50 ${sorted[sorted.length >> 1]} of ${sorted.join(' ')}`);
    t.diagnostic(`${records.length} requests, ${records.filter(({ attempts }) => attempts > 1).length} tried again`);
  });

  async function openGate(pod: string, status: 'True' | 'False'): Promise<void> {
    const patch = JSON.stringify({ status: { conditions: [{ type: GATE, status }] } });
    await installation.kubectl(['patch', 'pod', pod, '--subresource=status', '-p', patch]);
  }

  /** Counts what reached a pod that serves still. */
  async function lastRequest(name: string): Promise<number> {
    const pod = (await installation.pods(GATED)).find(({ metadata }) => metadata.name === name);
    const response = await fetch(`http://${pod?.status.podIP}:8000/sim/requests`);
    const requests = (await response.json()) as { number: number; method: string }[];
    return requests.filter(({ method }) => method === 'POST').at(-1)?.number ?? -1;
  }
});

function names(pods: readonly ListedPod[]): string[] {
  return pods.map(({ metadata }) => metadata.name).sort();
}

/** A stream that has begun. */
async function openStream(url: string): Promise<{ readonly pod: string; readonly whole: Promise<string> }> {
  const body = { model: 'llama', messages: [{ role: 'user', content: 'Hi' }], max_tokens: LONG_TOKENS, stream: true };
  const response = await fetch(`${url}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  assert.equal(response.status, 200);
  return { pod: response.headers.get('x-sim-pod') ?? '', whole: response.text() };
}

/** The process of a simulated pod. */
function processOf(pod: string): number {
  for (const entry of readdirSync('/proc')) {
    if (!/^\d+$/.test(entry)) continue;
    const read = (file: string) => {
      try {
        return readFileSync(`/proc/${entry}/${file}`, 'utf8').split('\0');
      } catch {
        return [];
      }
    };
    if (read('environ').includes(`HOSTNAME=${pod}`) && read('cmdline').includes('sim')) return Number(entry);
  }
  throw new Error(`no process of ${pod}`);
}

function gatedDocuments(): readonly object[] {
  const labels = { app: 'gated' };
  const metadata = { name: 'gated' };
  const container = {
    name: 'sim',
    image: 'localhost/fairlead:0.1.0',
    args: ['sim', '--listen=0.0.0.0:8000', '--model', GATED_MODEL],
    ports: [{ name: 'http', containerPort: 8_000 }],
    readinessProbe: { httpGet: { path: '/health', port: 'http' }, periodSeconds: 2 },
  };
  const template = {
    metadata: { labels },
    spec: { readinessGates: [{ conditionType: GATE }], containers: [container], terminationGracePeriodSeconds: 60 },
  };
  return [
    {
      apiVersion: 'apps/v1',
      kind: 'StatefulSet',
      metadata,
      spec: {
        replicas: 2,
        serviceName: 'gated',
        podManagementPolicy: 'Parallel',
        selector: { matchLabels: labels },
        template,
      },
    },
    {
      apiVersion: 'fairlead.dev/v1alpha1',
      kind: 'ModelDeployment',
      metadata,
      spec: {
        model: GATED_MODEL,
        backends: [{ name: 'sim', pods: { selector: { matchLabels: labels }, port: 8_000 } }],
      },
    },
  ];
}
