import assert from 'node:assert/strict';
import { after, before, suite, type TestContext, test } from 'node:test';
import { type SimPod, startPod } from '../../sim/pod.ts';
import { ValkeyServer } from '../store/valkey-server.ts';
import { send } from './harness/answer.ts';
import { AskingClients } from './harness/asking-clients.ts';
import { Authority } from './harness/certificates.ts';
import { Gateway, type Manifest, model } from './harness/gateway.ts';
import { countedIn } from './harness/shared-store.ts';
import { until } from './harness/until.ts';

const LIMIT = 1_000_000;
const [FIRST, SECOND] = ['the first password', 'the second password'];
const BODY = { model: 'm', messages: [{ role: 'user', content: 'Hi' }], max_tokens: 1 };

const RULES = [{ requests: LIMIT, per: 'month' }];
const FAILURES = 'fairlead_limit_store_failures_total';
const LOCAL = { onStoreFailure: 'local', timeout: '1s', rules: RULES };
const DENY = { onStoreFailure: 'deny', timeout: '1s', rules: RULES };

suite('the way to the store of limits', { timeout: 120_000 }, () => {
  let authority: Authority;
  let open: ValkeyServer;
  let locked: ValkeyServer;
  let encrypted: ValkeyServer;
  let pod: SimPod;
  let gateway: Gateway;

  before(async () => {
    authority = new Authority();
    [open, locked, encrypted] = await Promise.all([
      ValkeyServer.start(),
      ValkeyServer.start({ password: FIRST }),
      ValkeyServer.start({ tls: authority.issue(), password: FIRST }),
    ]);
    pod = await startPod({ name: 'pod', models: ['m'], timeScale: 500 });
    gateway = await Gateway.start({
      resources: [model('m', [pod.endpoint])],
      gateway: { limits: { rules: RULES } },
    });
  });

  after(async () => {
    await gateway?.close();
    await pod?.close();
    for (const server of [open, locked, encrypted]) server?.stop();
    authority?.remove();
  });

  const ask = () => send(gateway.url, 'POST /v1/chat/completions', { body: BODY });

  /** Why the store cannot be asked, as told to the operator; requests are what finds that out. */
  const untilFailure = (text: RegExp) =>
    until(`the failure ${text}`, async () => {
      await ask();
      return text.test((await gateway.node()).limitStore.failure ?? '');
    });

  /** Asks until that server has counted the answer. */
  const untilCountedIn = async (server: ValkeyServer, t: TestContext): Promise<void> => {
    const client = server.client();
    t.after(() => client.disconnect());
    const key = `fairlead:{limits}:count:limit|gateway||requests|2592000|||`;
    const counted = async () => Number(await client.hget(key, 'sum'));
    const before = await counted();
    await until(`a request that ${server.url} counts`, async () => {
      assert.equal((await ask()).status, 200);
      return (await counted()) > before;
    });
    await until('no failure', async () => (await gateway.node()).limitStore.failure === null);
  };

  const load = (t: TestContext): AskingClients => {
    const clients = new AskingClients({ url: gateway.url, clients: 8, body: BODY });
    t.after(() => clients.stop());
    return clients;
  };

  test('a password whose Secret is missing: the gateway goes on without the store, and says why', async t => {
    const clients = load(t);
    gateway.writeGateway(countedIn(locked, { ...LOCAL, valkey: { secretRef: { name: 'store' } } }));
    await gateway.untilShown('Secret default/store');
    await untilFailure(/^Secret default\/store is missing$/);
    gateway.write('secret.yaml', [secret({ other: FIRST })]);
    await gateway.untilShown('no key "password"');
    gateway.write('secret.yaml', [secret({ password: SECOND })]);
    await untilFailure(/^the server refuses the user name or the password \(WRONGPASS/);
    await gateway.untilShown('extproc: limits.store_failed: the server refuses the user name or the password');
    gateway.write('secret.yaml', [secret({ password: FIRST })]);
    await untilCountedIn(locked, t);
    await clients.stop();
    assert.deepEqual([clients.statuses, clients.failures], [[200], []]);
    for (const password of [FIRST, SECOND]) assert.ok(!gateway.output.includes(password));
  });

  test('the password is changed while requests are counted: none fails', async t => {
    const client = locked.client();
    t.after(() => client.disconnect());
    gateway.writeGateway(countedIn(locked, { ...DENY, valkey: { secretRef: { name: 'store' } } }));
    await untilCountedIn(locked, t);
    const clients = load(t);
    await clients.untilMore(200, 40);
    const failures = await gateway.metric(FAILURES);
    const connections = async () => connectionsIn(`${await client.client('LIST')}`);
    const before = new Set(await connections());
    // Who is connected stays so; who comes anew needs the new one.
    await client.config('SET', 'requirepass', SECOND);
    gateway.write('secret.yaml', [secret({ password: SECOND })]);
    await until('a connection by the new one', async () => (await connections()).some(id => !before.has(id)));
    await clients.untilMore(200, 200);
    await clients.stop();
    assert.deepEqual([clients.statuses, clients.failures], [[200], []]);
    assert.equal(await gateway.metric(FAILURES), failures);
  });

  test('TLS, by an authority that a Secret names', async t => {
    const stranger = new Authority();
    t.after(() => stranger.remove());
    gateway.write('secret.yaml', [secret({ password: FIRST, 'ca.crt': stranger.certificate })]);
    const valkey = { secretRef: { name: 'store' }, ca: { secretRef: { name: 'store' } } };
    gateway.writeGateway(countedIn(encrypted, { ...LOCAL, valkey }));
    await untilFailure(/certificate/);
    gateway.write('secret.yaml', [secret({ password: FIRST, 'ca.crt': authority.certificate })]);
    await untilCountedIn(encrypted, t);
  });

  for (const policy of [LOCAL, DENY]) {
    test(`to memory and back under load, ${policy.onStoreFailure}: no request fails`, async t => {
      gateway.writeGateway({ limits: { rules: RULES } });
      const isIn = async (store: string) => (await gateway.node()).limitStore.store === store;
      await until('memory', () => isIn('memory'));
      const clients = load(t);
      for (let turn = 0; turn < 2; turn++) {
        await clients.untilMore(200, 40);
        gateway.writeGateway(countedIn(open, policy));
        await until('valkey', () => isIn('valkey'));
        await untilCountedIn(open, t);
        await clients.untilMore(200, 40);
        gateway.writeGateway({ limits: { rules: RULES } });
        await until('memory', () => isIn('memory'));
      }
      await clients.untilMore(200, 40);
      await clients.stop();
      assert.deepEqual([clients.statuses, clients.failures], [[200], []]);
    });
  }
});

function secret(stringData: Readonly<Record<string, string>>): Manifest {
  return { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'store' }, stringData };
}

/** The ids of those on which a script was run last. */
function connectionsIn(list: string): string[] {
  const scripted = list.split('\n').filter(line => /cmd=evalsha?\b/.test(line));
  return scripted.map(line => /^id=(\d+)/.exec(line)?.[1] ?? '');
}
