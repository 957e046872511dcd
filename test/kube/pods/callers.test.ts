import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { parse } from 'yaml';
import type { Answer } from '../../e2e/harness/answer.ts';
import { Authority } from '../../e2e/harness/certificates.ts';
import { bearer } from '../../e2e/harness/consumer.ts';
import { until } from '../../e2e/harness/until.ts';
import { ValkeyServer } from '../../store/valkey-server.ts';
import type { Values } from '../helm.ts';
import { GATEWAY_ADDRESS } from '../kubelet/pod-network.ts';
import { Callers, told } from './callers.ts';
import { ControlPlane, modelNamed } from './control-plane.ts';
import { EXAMPLE_MODEL, Installation, type ListedPod } from './installation.ts';
import { Load } from './load.ts';

const ROOT = join(import.meta.dirname, '..', '..', '..');
const DEFINITIONS = join(ROOT, 'charts', 'fairlead', 'crds');
const README = exampleFile('README.md');
const PASSWORD = 'of the limit store';
/** Between two requests of the load. */
const INTERVAL_MS = 50;

/** No request lasts longer, and nobody but the proxy of Services has to hear that a gateway leaves. */
const gateway = { drain: { timeoutSeconds: 60, minAcceptSeconds: 2 } };

suite('callers of the installed chart: keys, limits and budgets', () => {
  let installation: Installation;
  let control: ControlPlane;
  let store: ValkeyServer;
  let callers: Callers;
  let load: Load | undefined;
  /** Keys of a caller that may do nearly everything, and of one with a budget. */
  let [runner, spender] = ['', ''];
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

  const startLoad = async (key: string) => {
    load = new Load({ url: callers.url, model: EXAMPLE_MODEL, intervalMs: INTERVAL_MS, headers: bearer(key) });
    await load.untilMore(20);
    return load;
  };

  const endLoad = async (load: Load) => {
    await load.untilMore(20);
    await load.stop();
    assert.deepEqual(load.failures, []);
  };

  const untilEvent = (namespace: string, reason: string) =>
    until(`an Event ${reason}`, async () => {
      const args = ['get', 'events', '--namespace', namespace, `--field-selector=reason=${reason}`];
      return (await installation.cluster.kubectl([...args, '-o', 'jsonpath={.items[*].message}'])) || undefined;
    });

  test('a cluster that has not heard of Consumers is served, and when it has, nothing needs to start anew', async () => {
    for (const file of ['inferencegateways.yaml', 'modeldeployments.yaml'])
      await installation.kubectl(['apply', '--server-side', '-f', join(DEFINITIONS, file)]);
    await installation.install({ gateway }, ['--skip-crds']);
    callers = await Callers.of(installation);
    await installation.applyExample('model.yaml');
    await installation.kubectl(['wait', '--for=condition=Ready', 'md/llama-3-8b', '--timeout=60s']);
    assert.equal((await callers.ask(undefined)).status, 200);
    const leader = await control.untilLeader();
    const [lacking] = control.events(leader, 'operator', 'source.not_installed');
    assert.match(String(lacking?.collection), /consumers/);
    await installation.kubectl(['apply', '--server-side', '--force-conflicts', '-f', DEFINITIONS]);
    runner = await callers.makeWithKey('runner', { limits: [{ requests: 100000, per: 'hour' }] });
    await callers.untilCondition('Programmed', 'runner');
    assert.equal(await control.untilLeader(), leader);
  });

  test('counted in memory, each gateway passes its share, and a budget needs a store', async () => {
    await installation.upgrade({
      inferenceGateway: { spec: { authentication: { mode: 'apiKeys' } } },
      ...{ gateway, rbac: { secretNamespaces: ['callers'] } },
    });
    const crowd = await callers.makeWithKey('crowd', { limits: [{ requests: 40, per: 'hour' }] });
    await callers.untilIs(crowd, 200);
    assert.equal(await passedOf(crowd, 120), 40);
    await installation.apply(modelNamed('dear', 'fairlead', { pricing: { currency: 'EUR', perRequest: '1.00' } }));
    const budget = { amount: '3.00', currency: 'EUR', period: 'month', warnAt: 50 };
    spender = await callers.makeWithKey('spender', { budget });
    await callers.untilCondition('Accepted=False', 'spender');
    const reason = '.status.conditions[?(@.type=="Accepted")].reason';
    assert.equal(await callers.field('spender', reason), 'BudgetNeedsStore');
    await callers.untilIs(spender, 401);
  });

  /** How many of the requests of many clients at once were answered; all others say that it was a limit. */
  const passedOf = async (key: string, requests: number) => {
    const answers = await Promise.all(Array.from({ length: requests }, () => callers.ask(key)));
    const refused = answers.map(told).filter(each => each !== '200 OK');
    assert.deepEqual(refused, Array(refused.length).fill('429 rate_limit_exceeded'));
    return requests - refused.length;
  };

  test("the example's values bring a shared store while requests run", async () => {
    await callers.makeSecret('valkey', { password: PASSWORD }, 'fairlead');
    await callers.makeSecret('valkey-ca', { 'ca.crt': authority.certificate }, 'fairlead');
    const load = await startLoad(runner);
    await installation.upgrade(exampleValues());
    await callers.gateways();
    await endLoad(load);
    await callers.untilCondition('Programmed', '--all');
    await callers.untilIs(spender, 200);
  });

  const exampleValues = (podAnnotations: object = {}): Values => {
    const values = parse(exampleFile('values-keys.yaml'));
    const { limits } = values.inferenceGateway.spec;
    limits.valkey.url = `${store.url}/0`;
    // Where a whole cluster runs on two cores, 20 ms say nothing of the store.
    limits.timeout = '2s';
    return { ...values, gateway: { ...values.gateway, ...gateway, podAnnotations } };
  };

  test("the example's callers: what they may, what they are told, what we are told", async () => {
    const [search, notebooks] = [await callers.newKey('search'), await callers.newKey('notebooks')];
    await callers.makeSecret('notebooks-key', { 'api-key': notebooks.key });
    await callers.apply(exampleFile('consumers.yaml').replace(/0{64}/, search.sha256));
    await callers.untilCondition('Programmed', '--all');
    assert.equal(told(await callers.ask(search.key)), '200 OK');
    assert.equal(told(await callers.ask(undefined)), '401 missing_api_key');
    assert.equal(told(await callers.ask(search.key, 'dear')), '403 model_not_allowed');
    for (let i = 0; i < 5; i++) assert.equal(told(await callers.ask(notebooks.key)), '200 OK');
    assertShown(await callers.ask(notebooks.key));
    const table = await callers.kubectl('get', 'consumers', 'notebooks', 'search');
    assert.ok(README.includes(table.replace(/\d+s\s*$/gm, '2m')), table);
    assert.equal((await callers.usage(search.key)).budget?.remaining, '99.9999986');
    const pods = await callers.gateways();
    const records = pods.map(({ metadata }) => installation.log(metadata.name, 'extproc')).join('');
    assert.match(records, /"consumer":"callers\/search",.*"output_tokens":4,.*"cost":"0\.0000014"/);
  });

  test('a key in a Secret is another one by the Secret alone, and none without Secret or Consumer', async () => {
    const [old, first, next] = ['an-old-key', 'the-first-key', 'the-next-key'];
    const put = (current: string, previous: string) => callers.makeSecret('vault', { current, previous });
    const apiKeys = ['current', 'previous'].map(key => ({ name: key, secretRef: { name: 'vault', key } }));
    await put(first, old);
    await callers.make('vault', { apiKeys });
    await callers.untilIs(first, 200);
    const load = await startLoad(first);
    await put(next, first);
    await callers.untilIs(next, 200);
    await callers.untilIs(old, 401);
    await endLoad(load);
    await put(next, next);
    await callers.untilIs(first, 401);
    assert.equal(told(await callers.ask(next)), '200 OK');
    await callers.kubectl('delete', 'secret', 'vault');
    await callers.untilIs(next, 401);
    await put(next, next);
    await callers.untilIs(next, 200);
    await callers.kubectl('delete', 'consumer', 'vault');
    await callers.untilIs(next, 401);
  });

  test('a limit is one over both gateways', async () => {
    const many = await callers.makeWithKey('many', { limits: [{ requests: 41, per: 'hour' }] });
    await callers.untilIs(many, 200);
    assert.equal(await passedOf(many, 120), 41);
    assert.equal((await callers.usage(many)).limits[0]?.used, 41);
  });

  test('a budget is one too, told of as it ends, and known to a gateway that is new', async () => {
    const spent = () => callers.field('spender', '.status.spend.amount');
    for (let i = 0; i < 2; i++) assert.equal(told(await callers.ask(spender, 'dear')), '200 OK');
    assert.match(await untilEvent('callers', 'BudgetWarning'), /^2\.00 of 3\.00 EUR are spent/);
    assert.equal(await spent(), '2.00');
    assert.equal(told(await callers.ask(spender, 'dear')), '200 OK');
    assert.match(await untilEvent('callers', 'BudgetExhausted'), /^3\.00 of 3\.00 EUR are spent/);
    assert.equal(await spent(), '3.00');
    const [{ metadata }] = (await callers.gateways()) as [ListedPod];
    await installation.kubectl(['delete', 'pod', metadata.name]);
    await assertNothingLeft();
  });

  const assertNothingLeft = async () => {
    for (const url of await callers.gatewayUrls()) {
      assert.equal(told(await callers.ask(spender, 'dear', url)), '429 insufficient_quota');
    }
  };

  test('while the store is killed, comes back and gateways are replaced, no request fails', async () => {
    const load = await startLoad(runner);
    const lacks = async () => {
      const nodes = await Promise.all((await control.gateways()).map(pod => control.node(pod)));
      return nodes.map(node => node?.limitStore.failure);
    };
    await store.kill();
    await until('all gateways miss it', async () => (await lacks()).every(failure => failure));
    await load.untilMore(20);
    assert.match(await untilEvent('fairlead', 'LimitStoreFailed'), /of 2 gateways do not reach the limit store/);
    await store.restart();
    await until('all gateways reach it', async () => (await lacks()).every(failure => failure === null));
    await assertNothingLeft();
    await installation.upgrade(exampleValues({ 'example.com/by': 'upgrade' }));
    await callers.gateways();
    await endLoad(load);
    await assertNothingLeft();
    await untilEvent('fairlead', 'LimitStoreRecovered');
  });
});

function exampleFile(name: string): string {
  return readFileSync(join(ROOT, 'examples', 'kubernetes', name), 'utf8');
}

/** The README shows this answer, whatever the seconds are. */
function assertShown({ headers, body }: Answer): void {
  const [, head = '', text = ''] = /```\n(HTTP\/1\.1 429 .*?)\n\n(.*?)\n```/s.exec(README) ?? [];
  const shownHeaders = head.split('\n').slice(1);
  const names = shownHeaders.map(line => line.split(': ')[0] ?? '');
  const [shown, seen] = [text.replaceAll('\n', ' '), body].map(each => JSON.stringify(JSON.parse(each)));
  const timeless = (text = '') => text.replace(/\b6[01]\b|\b1m(\d+s)?\b/g, '…');
  const answer = [...names.map(name => `${name}: ${headers.get(name)}`), seen];
  assert.deepEqual(answer.map(timeless), [...shownHeaders, shown].map(timeless));
}
