import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { promisify } from 'node:util';
import { parse } from 'yaml';
import type { UsageReport } from '../../../extproc/admit/usage-report.ts';
import { type Answer, send } from '../../e2e/harness/answer.ts';
import { Authority } from '../../e2e/harness/certificates.ts';
import { bearer } from '../../e2e/harness/consumer.ts';
import { until } from '../../e2e/harness/until.ts';
import { ValkeyServer } from '../../store/valkey-server.ts';
import type { Values } from '../helm.ts';
import { GATEWAY_ADDRESS } from '../kubelet/pod-network.ts';
import { ControlPlane, modelNamed } from './control-plane.ts';
import { EXAMPLE_MODEL, Installation, isReady, type ListedPod } from './installation.ts';
import { Load } from './load.ts';

const ROOT = join(import.meta.dirname, '..', '..', '..');
const DEFINITIONS = join(ROOT, 'charts', 'fairlead', 'crds');
const EXAMPLES = join(ROOT, 'examples', 'kubernetes');
const README = readFileSync(join(EXAMPLES, 'README.md'), 'utf8');
const GATEWAYS = 'app.kubernetes.io/component=gateway';
const PASSWORD = 'of the limit store';
/** Between two requests of the load. */
const INTERVAL_MS = 50;

/** No request lasts longer, and nobody but the proxy of Services has to hear that a gateway leaves. */
const gateway = { drain: { timeoutSeconds: 60, minAcceptSeconds: 2 } };

suite('callers of the installed chart: keys, limits and budgets', () => {
  let installation: Installation;
  let control: ControlPlane;
  let store: ValkeyServer;
  let url: string;
  let load: Load | undefined;
  const authority = new Authority();

  before(async () => {
    installation = await Installation.prepare();
    control = new ControlPlane(installation);
    const tls = authority.issue({ address: GATEWAY_ADDRESS });
    store = await ValkeyServer.start({ address: GATEWAY_ADDRESS, password: PASSWORD, persistent: true, tls });
  });

  after(async () => {
    await load?.stop();
    await installation?.stop();
    store?.stop();
    authority.remove();
  });

  /** Each on a connection of its own, so that the Service takes any gateway. */
  const ask = (key: string | undefined, model = 'llama', at = url) => {
    const body = { model, messages: [{ role: 'user', content: 'Ahoy?' }], max_tokens: 4 };
    const sent = { ...(key !== undefined && bearer(key)), connection: 'close' };
    return send(at, 'POST /v1/chat/completions', { headers: sent, body });
  };
  const usage = async (key: string) =>
    JSON.parse((await send(url, 'GET /v1/usage', { headers: bearer(key) })).body) as UsageReport;

  const readyGateways = () =>
    installation.untilPods('two gateways', GATEWAYS, pods => pods.length === 2 && pods.every(isReady));
  const gatewayUrls = async () => (await readyGateways()).map(({ status }) => `http://${status.podIP}:8888`);
  /** Until every gateway says so of the key. */
  const untilIs = async (key: string, status: 200 | 401) => {
    const urls = await gatewayUrls();
    await until(`${status} from all gateways`, async () => {
      const asked = urls.map(each => send(each, 'GET /v1/usage', { headers: bearer(key) }));
      return (await Promise.all(asked)).every(answer => answer.status === status);
    });
  };

  const kubectl = (...args: readonly string[]) => installation.cluster.kubectl(args);
  const ofCallers = (...args: readonly string[]) => kubectl('--namespace', 'callers', ...args);
  const apply = (object: object) => installation.cluster.kubectl(['apply', '-f', '-'], JSON.stringify(object));
  const make = (name: string, spec: object) => {
    const metadata = { name, namespace: 'callers' };
    return apply({ apiVersion: 'fairlead.dev/v1alpha1', kind: 'Consumer', metadata, spec });
  };
  const makeSecret = (namespace: string, name: string, stringData: object) =>
    apply({ apiVersion: 'v1', kind: 'Secret', metadata: { name, namespace }, stringData });
  const withKey = async (name: string, spec: object) => {
    const { key, sha256 } = await newKey(`callers/${name}`);
    await make(name, { apiKeys: [{ name: 'only', sha256 }], ...spec });
    return key;
  };
  const untilCondition = (condition: string, ...consumers: readonly string[]) =>
    ofCallers('wait', `--for=condition=${condition}`, ...consumers, '--timeout=60s');
  const untilEvent = (namespace: string, reason: string) =>
    until(`an Event ${reason}`, async () => {
      const args = ['get', 'events', '--namespace', namespace, `--field-selector=reason=${reason}`];
      return (await kubectl(...args, '-o', 'jsonpath={.items[*].message}')) || undefined;
    });

  const startLoad = async (key: string) => {
    load = new Load({ url, model: EXAMPLE_MODEL, intervalMs: INTERVAL_MS, headers: bearer(key) });
    await load.untilMore(20);
    return load;
  };
  const endLoad = async (load: Load) => {
    await load.untilMore(20);
    await load.stop();
    assert.deepEqual(load.failures, []);
  };

  let runner = '';
  let spender = '';

  test('a cluster that has not heard of Consumers is served, and when it has, nothing needs to start anew', async () => {
    for (const file of ['inferencegateways.yaml', 'modeldeployments.yaml'])
      await installation.kubectl(['apply', '--server-side', '-f', join(DEFINITIONS, file)]);
    await installation.install({ gateway }, ['--skip-crds']);
    url = await installation.url();
    await installation.applyExample('model.yaml');
    await installation.kubectl(['wait', '--for=condition=Ready', 'md/llama-3-8b', '--timeout=60s']);
    assert.equal((await ask(undefined)).status, 200);
    const leader = await control.untilLeader();
    const [lacking] = control.events(leader, 'operator', 'source.not_installed');
    assert.match(String(lacking?.collection), /consumers/);
    await installation.kubectl(['apply', '--server-side', '--force-conflicts', '-f', DEFINITIONS]);
    await kubectl('create', 'namespace', 'callers');
    runner = await withKey('runner', { limits: [{ requests: 100000, per: 'hour' }] });
    await untilCondition('Programmed', 'consumer/runner');
    assert.equal(await control.untilLeader(), leader);
  });

  test('counted in memory, each gateway passes its share, and a budget needs a store', async () => {
    await installation.upgrade({
      inferenceGateway: { spec: { authentication: { mode: 'apiKeys' } } },
      ...{ gateway, rbac: { secretNamespaces: ['callers'] } },
    });
    const crowd = await withKey('crowd', { limits: [{ requests: 40, per: 'hour' }] });
    await untilIs(crowd, 200);
    assert.equal(await passedOf(crowd, 120), 40);
    await installation.apply(modelNamed('dear', 'fairlead', { pricing: { currency: 'EUR', perRequest: '1.00' } }));
    const budget = { amount: '3.00', currency: 'EUR', period: 'month', warnAt: 50 };
    spender = await withKey('spender', { budget });
    await untilCondition('Accepted=False', 'consumer/spender');
    const path = '{.status.conditions[?(@.type=="Accepted")].reason}';
    assert.equal(await ofCallers('get', 'consumer', 'spender', '-o', `jsonpath=${path}`), 'BudgetNeedsStore');
    await untilIs(spender, 401);
  });

  /** How many of the requests of many clients at once were answered with 200; all others say which limit it was. */
  async function passedOf(key: string, requests: number): Promise<number> {
    const answers = await Promise.all(Array.from({ length: requests }, () => ask(key)));
    const refused = answers.filter(({ status }) => status !== 200);
    for (const { status, body } of refused) assert.equal(`${status} ${codeOf(body)}`, '429 rate_limit_exceeded');
    return requests - refused.length;
  }

  test("the example's values bring a shared store while requests run", async () => {
    await makeSecret('fairlead', 'valkey', { password: PASSWORD });
    await makeSecret('fairlead', 'valkey-ca', { 'ca.crt': authority.certificate });
    const load = await startLoad(runner);
    await installation.upgrade(exampleValues());
    await readyGateways();
    await endLoad(load);
    await untilCondition('Programmed', '--all', 'consumers');
    await untilIs(spender, 200);
  });

  function exampleValues(podAnnotations: object = {}): Values {
    const values = parse(readFileSync(join(EXAMPLES, 'values-keys.yaml'), 'utf8'));
    const { limits } = values.inferenceGateway.spec;
    limits.valkey.url = `${store.url}/0`;
    // Where a whole cluster runs on two cores, 20 ms say nothing of the store.
    limits.timeout = '2s';
    return { ...values, gateway: { ...values.gateway, ...gateway, podAnnotations } };
  }

  test("the example's callers: what they may, what they are told, what we are told", async () => {
    const [search, notebooks] = [await newKey('callers/search'), await newKey('callers/notebooks')];
    await makeSecret('callers', 'notebooks-key', { 'api-key': notebooks.key });
    const manifest = readFileSync(join(EXAMPLES, 'consumers.yaml'), 'utf8');
    await installation.cluster.kubectl(['apply', '-f', '-'], manifest.replace(/0{64}/, search.sha256));
    await untilCondition('Programmed', '--all', 'consumers');
    assert.equal((await ask(search.key)).status, 200);
    assert.equal(codeOf((await ask(undefined)).body), 'missing_api_key');
    const forbidden = await ask(search.key, 'dear');
    assert.equal(`${forbidden.status} ${codeOf(forbidden.body)}`, '403 model_not_allowed');
    const answers: Answer[] = [];
    for (let i = 0; i < 6; i++) answers.push(await ask(notebooks.key));
    assert.deepEqual(
      answers.map(({ status }) => status),
      [200, 200, 200, 200, 200, 429],
    );
    assertShown(answers[5] as Answer);
    const table = await ofCallers('get', 'consumers', 'notebooks', 'search');
    assert.ok(README.includes(table.replace(/\d+s\s*$/gm, '2m')), table);
    assert.equal((await usage(search.key)).budget?.remaining, '99.9999986');
    const told = (await readyGateways()).map(({ metadata }) => installation.log(metadata.name, 'extproc')).join('');
    assert.match(told, /"consumer":"callers\/search",.*"output_tokens":4,.*"cost":"0\.0000014"/);
  });

  test('a key in a Secret is another one by the Secret alone, and none without its Consumer', async () => {
    const [old, first, next] = ['an-old-key', 'the-first-key', 'the-next-key'];
    await makeSecret('callers', 'vault', { current: first, previous: old });
    const from = (key: string) => ({ name: key, secretRef: { name: 'vault', key } });
    await make('vault', { apiKeys: [from('current'), from('previous')] });
    await untilIs(first, 200);
    const load = await startLoad(first);
    await makeSecret('callers', 'vault', { current: next, previous: first });
    await untilIs(next, 200);
    await untilIs(old, 401);
    await endLoad(load);
    await makeSecret('callers', 'vault', { current: next, previous: next });
    await untilIs(first, 401);
    assert.equal((await ask(next)).status, 200);
    await ofCallers('delete', 'consumer', 'vault');
    await untilIs(next, 401);
  });

  test('a limit is one over both gateways', async () => {
    const many = await withKey('many', { limits: [{ requests: 41, per: 'hour' }] });
    await untilIs(many, 200);
    assert.equal(await passedOf(many, 120), 41);
    assert.equal((await usage(many)).limits[0]?.used, 41);
  });

  test('a budget is one too, told of as it ends, and known to a gateway that is new', async () => {
    const spend = () => ofCallers('get', 'consumer', 'spender', '-o', 'jsonpath={.status.spend.amount}');
    for (let i = 0; i < 2; i++) assert.equal((await ask(spender, 'dear')).status, 200);
    assert.match(await untilEvent('callers', 'BudgetWarning'), /^2\.00 of 3\.00 EUR are spent/);
    assert.equal(await spend(), '2.00');
    assert.equal((await ask(spender, 'dear')).status, 200);
    assert.match(await untilEvent('callers', 'BudgetExhausted'), /^3\.00 of 3\.00 EUR are spent/);
    assert.equal(await spend(), '3.00');
    const [{ metadata }] = (await readyGateways()) as [ListedPod];
    await installation.kubectl(['delete', 'pod', metadata.name]);
    await assertNothingLeft();
  });

  const assertNothingLeft = async () => {
    for (const each of await gatewayUrls()) {
      const { status, body } = await ask(spender, 'dear', each);
      assert.equal(`${status} ${codeOf(body)}`, '429 insufficient_quota');
    }
  };

  test('while the store is killed, comes back and gateways are replaced, no request fails', async () => {
    const load = await startLoad(runner);
    const failures = async () =>
      (await Promise.all((await control.gateways()).map(pod => control.node(pod)))).map(
        node => node?.limitStore.failure,
      );
    await store.kill();
    await until('all gateways miss it', async () => (await failures()).every(failure => failure));
    await load.untilMore(20);
    assert.match(await untilEvent('fairlead', 'LimitStoreFailed'), /^. of 2 gateways do not reach the limit store/);
    await store.restart();
    await until('all gateways reach it', async () => (await failures()).every(failure => failure === null));
    await assertNothingLeft();
    await installation.upgrade(exampleValues({ 'example.com/by': 'upgrade' }));
    await readyGateways();
    await endLoad(load);
    await assertNothingLeft();
    await untilEvent('fairlead', 'LimitStoreRecovered');
  });
});

/** As who gives out keys makes one. */
async function newKey(consumer: string): Promise<{ readonly key: string; readonly sha256: string }> {
  const args = ['keys', 'new', '--consumer', consumer, '--output', 'json'];
  const { stdout } = await promisify(execFile)(join(ROOT, 'cli', 'bin', 'fairlead'), args);
  return JSON.parse(stdout);
}

function codeOf(body: string): string {
  return JSON.parse(body).error.code;
}

/** The README shows this answer, whatever the seconds are. */
function assertShown({ headers, body }: Answer): void {
  const [, head = '', text = ''] = /```\n(HTTP\/1\.1 429 .*?)\n\n(.*?)\n```/s.exec(README) ?? [];
  const lines = head.split('\n').slice(1);
  const told = lines.map(line => line.split(': ')[0] ?? '').map(name => `${name}: ${headers.get(name)}`);
  const [shown, seen] = [text.replaceAll('\n', ' '), body].map(each => JSON.stringify(JSON.parse(each)));
  const timeless = (text: string) => text.replace(/\b6[01]\b|\b1m(\d+s)?\b/g, '…');
  assert.deepEqual([...told, seen ?? ''].map(timeless), [...lines, shown ?? ''].map(timeless));
}
