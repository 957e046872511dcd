import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { promisify } from 'node:util';
import { type SimPod, startPods } from '../../sim/pod.ts';
import { assertOnlyPicked, type Decision } from './harness/decisions.ts';
import { envoyHosts } from './harness/envoy-stats.ts';
import { freePorts } from './harness/free-ports.ts';
import { Gateway, type Manifest, model } from './harness/gateway.ts';
import { HeldPod } from './harness/held-pod.ts';
import { podDocument } from './harness/pod-document.ts';
import { isOpen } from './harness/processes.ts';
import { SteadyLoad } from './harness/steady-load.ts';
import { until } from './harness/until.ts';

const FAIRLEAD = join(import.meta.dirname, '..', '..', 'cli', 'bin', 'fairlead');
/** Requests that each change has to get along with. */
const AFTERMATH = 100;

// One gateway, clients that never rest, and one change after the other: nobody may notice any of them.
suite('live change, under steady load', () => {
  let pods: SimPod[] = [];
  let alpha: [SimPod, SimPod, SimPod];
  let beta: [SimPod, SimPod, SimPod];
  let held: HeldPod;
  let gateway: Gateway;
  let load: SteadyLoad;
  let ports: number[];

  const addresses = (...some: readonly SimPod[]) => some.map(pod => pod.endpoint);
  const selected = (more: object = {}, backend: object = {}) =>
    model('alpha', [], {
      ...more,
      backend: {
        endpoints: undefined,
        pods: { selector: { matchLabels: { app: 'alpha' } }, port: alpha[0].port },
        ...backend,
      },
    });
  /** Alpha by selector and beta by address, in one file. */
  const writeModels = (alphaSpec: object = { aliases: ['chosen'] }, betaSpec: Manifest = {}) =>
    gateway.write('models.yaml', [selected(alphaSpec), model('beta', addresses(beta[0], beta[1]), betaSpec)]);
  const writePods = (...some: readonly SimPod[]) =>
    gateway.write(
      'pods.yaml',
      some.map(pod => podDocument(pod, { app: 'alpha' })),
    );
  const listed = async (): Promise<string[]> => {
    const { data } = (await (await fetch(`${load.url}/v1/models`)).json()) as { data: { id: string }[] };
    return data.map(({ id }) => id);
  };
  /** Does something, waits until the picker follows a table made after it, and for clients to meet the change. */
  async function change(what: () => void): Promise<void> {
    const { table } = await gateway.node();
    what();
    await until('another table', async () => (await gateway.node()).table?.version !== table?.version);
    await load.untilMore(AFTERMATH);
    assert.deepEqual(load.failures, []);
  }

  before(async () => {
    const [port = 0] = await freePorts(1);
    // Pods that a selector finds share a port, so each has an address of its own.
    pods = await startPods(
      ['alpha-0', 'alpha-1', 'alpha-2', 'beta-0', 'beta-1', 'beta-2', 'gamma-0'].map((name, index) => ({
        name,
        // One of them is also the other endpoint of a model whose streams are held.
        models: [name.slice(0, name.indexOf('-')), ...(name === 'beta-0' ? ['one'] : [])],
        timeScale: 4,
        rememberedRequests: 100_000,
        ...(name.startsWith('alpha') && { address: `127.0.41.${index + 1}`, port }),
      })),
    );
    const [a0, a1, a2, b0, b1, b2] = pods as [SimPod, SimPod, SimPod, SimPod, SimPod, SimPod];
    alpha = [a0, a1, a2];
    beta = [b0, b1, b2];
    held = await HeldPod.start();
    gateway = await Gateway.start({ resources: [], logLevel: 'debug' });
    writePods(a0, a1);
    writeModels();
    await gateway.untilServed('alpha', 2);
    await gateway.untilServed('beta', 2);
    ports = await freePorts(2);
    load = new SteadyLoad({ url: gateway.url, clients: 20, models: ['alpha', 'beta', 'chosen'] });
    await load.untilMore(AFTERMATH);
    assert.deepEqual(load.failures, []);
  });

  after(async () => {
    await load?.stop();
    await gateway?.close();
    await held?.close();
    await Promise.all(pods.map(pod => pod.close()));
  });

  test('a new file: its model is answered from the moment it is listed', async () => {
    const [gamma] = pods.slice(-1);
    gateway.write('gamma.yaml', [model('gamma', [gamma?.endpoint ?? ''])]);
    await until('gamma in the list', async () => (await listed()).includes('gamma'));
    assert.equal((await gateway.chat('gamma')).status, 200);
    await load.untilMore(AFTERMATH);
    assert.deepEqual(load.failures, []);
  });

  test('a file that goes: its model is gone, and nothing else', async () => {
    await change(() => gateway.remove('gamma.yaml'));
    assert.deepEqual(await listed(), ['alpha', 'beta']);
    assert.equal((await gateway.chat('gamma')).status, 404);
  });

  test('table version and age, in metrics, explain and on the terminal', async () => {
    const receivedAtSeconds = async () => Date.now() / 1000 - (await gateway.metric('fairlead_table_age_seconds'));
    const before = await gateway.node();
    const receivedBefore = await receivedAtSeconds();
    await change(() => writeModels({ aliases: ['chosen', 'also-alpha'] }));
    const { table } = await gateway.node();
    const version = table?.version ?? '';
    assert.notEqual(version, before.table?.version);
    assert.equal(await gateway.metric(`fairlead_table_info{version="${version}"}`), 1);
    assert.ok((await receivedAtSeconds()) > receivedBefore, 'the age began anew');
    const { stdout } = await promisify(execFile)(FAIRLEAD, ['explain', 'also-alpha', '--admin', gateway.admin]);
    assert.ok(stdout.includes(`table ${version}`), stdout);
    assert.match(stdout, /alpha \(default\/alpha\)/);
    await gateway.untilShown(`Table ${version}`);
    assert.equal((await gateway.chat('also-alpha')).status, 200);
  });

  test('a pod comes, drains and goes', async () => {
    const [, , newcomer] = alpha;
    await change(() => writePods(...alpha));
    assert.ok(newcomer.requests.length > 0, 'the new pod has its share');
    await change(() =>
      gateway.write('pods.yaml', [
        ...alpha.slice(0, 2).map(pod => podDocument(pod, { app: 'alpha' })),
        podDocument(newcomer, { app: 'alpha' }, true),
      ]),
    );
    const { length } = newcomer.requests;
    await load.untilMore(AFTERMATH);
    assert.equal(newcomer.requests.length, length, 'a draining pod gets nothing new');
    const row = (await gateway.explain('alpha')).endpoints.find(({ endpoint }) => endpoint === newcomer.name);
    assert.equal(row?.reason, 'draining');
    await change(() => writePods(alpha[0], alpha[1]));
    assert.equal((await gateway.explain('alpha')).endpoints.length, 2);
  });

  test('a pod goes without draining: what is running ends well, nothing new comes', async () => {
    await change(() => writePods(alpha[1]));
    const { length } = alpha[0].requests;
    await load.untilMore(AFTERMATH);
    assert.equal(alpha[0].requests.length, length);
    await change(() => writePods(alpha[0], alpha[1]));
    assert.ok(alpha[0].requests.length > length);
  });

  test('addresses come and go', async () => {
    await change(() => writeModels(undefined, { backend: { endpoints: addresses(...beta) } }));
    assert.ok(beta[2].requests.length > 0);
    await change(() => writeModels(undefined, { backend: { endpoints: addresses(beta[2], beta[1]) } }));
    const { length } = beta[0].requests;
    await load.untilMore(AFTERMATH);
    assert.equal(beta[0].requests.length, length);
    await change(() => writeModels());
  });

  test('an alias moves to another model', async () => {
    const asChosen = () => load.answers.filter(({ asked }) => asked === 'chosen').at(-1)?.model;
    assert.equal(asChosen(), 'alpha');
    await change(() => writeModels({}, { aliases: ['chosen'] }));
    assert.equal(asChosen(), 'beta');
    await change(() => writeModels());
    assert.equal(asChosen(), 'alpha');
    const wrong = load.answers.filter(({ asked, model: got }) => asked !== 'chosen' && asked !== got);
    assert.deepEqual(wrong, []);
  });

  test('a backend gets another name', async () => {
    await change(() =>
      gateway.write('models.yaml', [
        selected({ aliases: ['chosen'] }, { name: 'gpus' }),
        model('beta', addresses(beta[0], beta[1])),
      ]),
    );
    assert.equal(load.answers.findLast(({ model: got }) => got === 'alpha')?.backend, 'gpus');
    await change(() => writeModels());
  });

  test('timeouts change, of requests and of connecting', async () => {
    await change(() =>
      writeModels({ aliases: ['chosen'], timeouts: { request: '100s', headers: '20s', idle: '30s' } }),
    );
    await change(() => writeModels({ aliases: ['chosen'], timeouts: { connect: '3s' } }));
    await change(() => writeModels({ aliases: ['chosen'], retries: { attempts: 1 } }));
    await change(() => writeModels());
  });

  test('the strategy changes', async () => {
    for (const strategy of ['random', 'shuffle', 'round_robin', 'throughput', 'least-request']) {
      await change(() => writeModels({ aliases: ['chosen'], routing: { strategy } }, { routing: { strategy } }));
      const used = gateway.events<Decision>('pick.decided').at(-1)?.strategy;
      assert.equal(used, strategy.replace('_', '-'));
    }
  });

  test('a model moves to another file', async () => {
    const { table } = await gateway.node();
    gateway.write('beta.yaml', [model('beta', addresses(beta[0], beta[1]))]);
    await gateway.untilShown('already declared in');
    gateway.write('models.yaml', [selected({ aliases: ['chosen'] })]);
    await gateway.untilShown('All files are in order again.');
    await load.untilMore(AFTERMATH);
    // A file that gets another name vanishes first.
    gateway.write('other.yaml', [model('gamma', [pods.at(-1)?.endpoint ?? ''])]);
    await gateway.untilServed('gamma', 1);
    renameSync(join(gateway.directory, 'beta.yaml'), join(gateway.directory, 'b.yaml'));
    gateway.remove('other.yaml');
    await until('gamma to go', async () => !(await listed()).includes('gamma'));
    await load.untilMore(AFTERMATH);
    assert.deepEqual(load.failures, []);
    assert.equal(contentOf((await gateway.node()).table), contentOf(table), 'the same table after all');
    writeModels();
    gateway.remove('b.yaml');
    await load.untilMore(AFTERMATH);
    assert.deepEqual(load.failures, []);
  });

  test('files saved as editors do: by a rename, and by emptying first', async () => {
    const path = join(gateway.directory, 'models.yaml');
    const beside = (manifests: readonly Manifest[]) => {
      gateway.write('.models.yaml.swp', manifests);
      renameSync(join(gateway.directory, '.models.yaml.swp'), path);
    };
    await change(() => beside([selected({ aliases: ['chosen', 'swapped'] }), model('beta', addresses(...beta))]));
    assert.equal((await gateway.chat('swapped')).status, 200);
    await change(() => {
      writeFileSync(path, '');
      setTimeout(() => writeModels(), 20);
    });
    assert.equal((await gateway.chat('swapped')).status, 404);
  });

  test('a broken file: what was good stays and the terminal tells the place, until it is mended', async () => {
    const { table } = await gateway.node();
    const broken =
      'apiVersion: fairlead.dev/v1alpha1\nkind: ModelDeployment\nmetadata: {name: alpha}\nspec:\n  backend: []\n';
    gateway.write('models.yaml', broken);
    await gateway.untilShown('models.yaml:5:3: error');
    await gateway.untilShown('served as it was before');
    gateway.write('models.yaml', 'a: [b\n');
    await gateway.untilShown('models.yaml:2:1: error');
    await load.untilMore(AFTERMATH);
    assert.deepEqual(load.failures, []);
    assert.equal((await gateway.node()).table?.version, table?.version);
    const shown = gateway.output.length;
    writeModels({ aliases: ['chosen', 'mended'] });
    await until('the mended file', () => gateway.output.slice(shown).includes('All files are in order again.'));
    await until('the new alias', async () => (await gateway.chat('mended')).status === 200);
    await load.untilMore(AFTERMATH);
    assert.deepEqual(load.failures, []);
    await change(() => writeModels());
  });

  test('streams outlast the removal of their endpoint and of their model', async () => {
    gateway.write('held.yaml', [model('one', [held.endpoint, beta[0].endpoint]), model('two', [held.endpoint])]);
    await gateway.untilServed('two', 1);
    // Of two idle endpoints least-request takes either: ask until one is held.
    const streams: Promise<string>[] = [];
    for (const name of ['one', 'two']) {
      const before = held.held;
      await until(`a stream of ${name} that is held`, async () => {
        const response = await gateway.chat(name, {}, { stream: true });
        if (held.held > before) streams.push(response.text());
        else await response.text();
        return held.held > before;
      });
    }
    await change(() => gateway.write('held.yaml', [model('one', [beta[0].endpoint])]));
    const { envoy } = gateway.children();
    await until('Envoy to forget the model', async () => !(await envoyHosts(envoy)).has('default/two'));
    await until('Envoy to forget the endpoint', async () => (await envoyHosts(envoy)).get('default/one') === 1);
    assert.equal(held.cut, 0);
    held.finish();
    for (const text of await Promise.all(streams)) assert.ok(text.endsWith('data: [DONE]\n\n'), text);
    await change(() => gateway.remove('held.yaml'));
  });

  test('the gateway: its body limit, a second port, and the first one gone', async () => {
    const listeners = (...some: { name: string; port: number }[]) => ({ listeners: some });
    const http = { name: 'http', port: gateway.port };
    const second = { name: 'second', port: ports[0] ?? 0 };
    await change(() => gateway.writeGateway({ maxBodyBytes: 2048 }));
    const tooLong = await gateway.chat('alpha', {}, { padding: 'x'.repeat(4096) });
    assert.equal(tooLong.status, 413);
    await tooLong.text();
    await change(() => gateway.writeGateway(listeners(http, second)));
    await until('the second port', () => isOpen(second.port));
    load.url = `http://127.0.0.1:${second.port}`;
    await change(() => gateway.writeGateway(listeners(second)));
    await until('the first port to close', async () => !(await isOpen(http.port)));
    await load.untilMore(AFTERMATH);
    assert.deepEqual(load.failures, []);
    assert.equal(load.answers.length > 0, true);
  });

  test('the port of a listener changes: the new one answers', async () => {
    await load.stop();
    const [before = 0, next = 0] = ports;
    gateway.writeGateway({ listeners: [{ name: 'second', port: next }] });
    const answers = (port: number) =>
      fetch(`http://127.0.0.1:${port}/v1/models`).then(
        response => response.ok,
        () => false,
      );
    await until('the new port', () => answers(next));
    await until('the old port to close', async () => !(await isOpen(before)));
  });

  test('in the end nothing is in flight, and no request was where it was not picked for', async () => {
    await until('nothing in flight', async () => {
      const inFlight = (await gateway.metrics()).split('\n').filter(line => line.startsWith('fairlead_in_flight{'));
      return inFlight.length > 0 && inFlight.every(line => line.endsWith(' 0'));
    });
    assertOnlyPicked(pods, gateway.events<Decision>('pick.decided'));
    assert.deepEqual(load.failures, []);
  });
});

/** The hash in a table's version, of what is in it; before it is its number. */
function contentOf(table: { readonly version: string } | null): string | undefined {
  return table?.version.split('-').at(-1);
}
