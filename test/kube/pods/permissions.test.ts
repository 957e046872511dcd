import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { join } from 'node:path';
import { after, before, suite, type TestContext, test } from 'node:test';
import { connect } from 'node:tls';
import { issueServerCertificate } from '../../../operator/trust/issue.ts';
import { SteadyLoad } from '../../e2e/harness/steady-load.ts';
import { until } from '../../e2e/harness/until.ts';
import { ask, ControlPlane, modelNamed } from './control-plane.ts';
import { EXAMPLE_MODEL, Installation } from './installation.ts';

const AUDIENCE = 'fairlead-control-plane';
const SERVICE = 'fairlead-control-plane';
const SERVER_NAME = 'fairlead-control-plane.fairlead.svc';
const TLS_OBJECT = 'fairlead-control-plane-tls';
const ACCOUNT = 'fairlead-gateway';
const EXAMPLE = join(import.meta.dirname, '..', '..', '..', 'examples', 'kubernetes', 'model.yaml');
const DAY_MS = 86_400_000;
/** Nothing here takes this long; it only ends a test that would hang, milliseconds. */
const timeout = 180_000;

/** A pod that says it is a gateway's agent. */
interface Stranger {
  readonly name: string;
  /** What both sides say of it. */
  readonly reason: RegExp;
  readonly namespace?: string;
  readonly account?: string;
  /** Where its token comes from; none: it shows none, and speaks no TLS. */
  readonly token?: object;
  readonly nodeId?: string;
}

suite('permissions and trust of an installation that follows two namespaces', () => {
  let installation: Installation;
  let controlPlane: ControlPlane;
  let url: string;
  let load: SteadyLoad | undefined;

  before(async () => {
    installation = await Installation.prepare();
    controlPlane = new ControlPlane(installation);
    for (const name of ['models', 'other', 'strangers']) await kubectl('create', 'namespace', name);
    await installation.install({ operator: { namespaces: ['models'] } });
    url = await installation.url();
  });

  after(async () => {
    await load?.stop();
    await installation?.stop();
  });

  const kubectl = (...args: readonly string[]) => installation.cluster.kubectl(args);
  const apply = (object: object) => installation.cluster.kubectl(['apply', '--filename=-'], JSON.stringify(object));

  /** As the chart's sidecar, tied to the leader's own address: through the Service all have one. */
  const strangerPod = (stranger: Stranger, leaderIp: string) => {
    const { name, namespace = installation.namespace, account = ACCOUNT, token, nodeId = name } = stranger;
    const files = '/var/run/secrets/fairlead.dev';
    const trust = [`--control-plane-ca=${files}/ca/ca.crt`, `--control-plane-token=${files}/token/token`];
    const containers = [
      {
        name: 'extproc',
        image: 'localhost/fairlead:0.1.0',
        args: [
          ...['extproc', `--control-plane=${SERVER_NAME}:18000`, ...(token ? trust : []), '--run-dir=/run/fairlead'],
          ...[`--node-id=${nodeId}`, '--probe-listen=0.0.0.0:18002'],
        ],
        volumeMounts: [
          { name: 'run', mountPath: '/run/fairlead' },
          { name: 'ca', mountPath: `${files}/ca` },
          { name: 'token', mountPath: `${files}/token` },
        ],
      },
    ];
    const volumes = [
      { name: 'run', emptyDir: {} },
      { name: 'ca', configMap: { name: TLS_OBJECT } },
      { name: 'token', projected: { sources: [token ?? { configMap: { name: 'tokens' } }] } },
    ];
    const hostAliases = [{ ip: leaderIp, hostnames: [SERVER_NAME] }];
    const spec = { serviceAccountName: account, automountServiceAccountToken: false, hostAliases, containers, volumes };
    return { apiVersion: 'v1', kind: 'Pod', metadata: { name, namespace }, spec };
  };

  const secret = async () => {
    const { data = {} } = JSON.parse(await installation.kubectl(['get', 'secret', TLS_OBJECT, '-o', 'json']));
    return (key: string) => Buffer.from(data[key] ?? '', 'base64').toString();
  };

  const patchSecret = async (data: Readonly<Record<string, string>> | null) => {
    const encoded = data && Object.entries(data).map(([key, text]) => [key, Buffer.from(text).toString('base64')]);
    // As the operator itself marks a certificate that it wrote.
    const certificate = data?.['tls.crt'];
    const annotations = certificate && { 'fairlead.dev/certificate': new X509Certificate(certificate).fingerprint256 };
    const patch = JSON.stringify({
      data: encoded && Object.fromEntries(encoded),
      ...(annotations && { metadata: { annotations } }),
    });
    await installation.kubectl(['patch', 'secret', TLS_OBJECT, '--type=merge', '-p', patch]);
  };

  /** What new connections see: undefined where there is nobody, or nobody that these authorities vouch for. */
  const served = async (ca: string): Promise<X509Certificate | undefined> => {
    const host = await installation.kubectl(['get', 'service', SERVICE, '-o', 'jsonpath={.spec.clusterIP}']);
    const socket = connect({ host, port: 18_000, servername: SERVER_NAME, ca, ALPNProtocols: ['h2'] });
    try {
      await once(socket, 'secureConnect');
      return socket.getPeerX509Certificate();
    } catch {
      return undefined;
    } finally {
      socket.destroy();
    }
  };

  /** The leader goes, and the next one looks at the Secret at once. */
  const nextLeader = async () => {
    await installation.kubectl(['rollout', 'status', 'deployment/fairlead-operator', '--timeout=60s']);
    const leader = await controlPlane.untilLeader();
    await installation.kubectl(['delete', 'pod', leader, '--wait=false']);
    const next = await controlPlane.untilLeader(leader);
    await until('the certificate', () => controlPlane.events(next, 'operator', 'certificate.served').length > 0);
    return next;
  };

  const issued = (leader: string) =>
    controlPlane.events(leader, 'operator', 'certificate.issued').map(({ issued }) => issued);

  const agentsBack = async (t: TestContext, what: string) => {
    const sinceMs = Date.now();
    await controlPlane.untilAgents('connected');
    t.diagnostic(`${what}: agents are connected after another ${Date.now() - sinceMs} ms`);
  };

  // The renewal takes a minute, most of it in waiting.
  suite('while it runs', { concurrency: true }, () => {
    test('it serves its namespaces, tells of them in statuses and Events, and knows of no other', {
      timeout,
    }, async () => {
      await kubectl('apply', '--namespace=models', `--filename=${EXAMPLE}`);
      for (const namespace of ['other', installation.namespace]) {
        await apply(modelNamed(`of-${namespace}`, namespace));
      }
      await kubectl('wait', '--namespace=models', '--for=condition=Ready', 'md/llama-3-8b', '--timeout=60s');
      await controlPlane.untilServed(url, EXAMPLE_MODEL);
      const own = `of-${installation.namespace}`;
      await installation.kubectl(['wait', '--for=condition=Accepted', `md/${own}`, '--timeout=60s']);
      await until('what its namespace lacks', async () =>
        (await installation.condition(own, 'BackendsResolved')).includes('matches no pods'),
      );
      assert.equal(await kubectl('get', 'md/of-other', '--namespace=other', '-o', 'jsonpath={.status}'), '');
      assert.equal((await ask(url, 'of-other')).status, 404);
      const events = ['get', 'events.events.k8s.io', '--namespace=models', '-o', 'jsonpath={.items[*].regarding.kind}'];
      await until('an Event', async () => (await kubectl(...events)).includes('ModelDeployment'));
      for (const { metadata } of await controlPlane.operators()) {
        assert.doesNotMatch(installation.log(metadata.name, 'operator'), /forbidden/i);
      }
    });

    test('whoever shows no token of a gateway gets no table, and both sides say why', { timeout }, async t => {
      const [gateway] = await controlPlane.gateways();
      const good = await installation.kubectl(['create', 'token', ACCOUNT, `--audience=${AUDIENCE}`]);
      const forged = `${good.trim().slice(0, -8)}${good.includes('AAAAAAAA') ? 'BBBBBBBB' : 'AAAAAAAA'}`;
      await apply(configMap('tokens', installation.namespace, { forged, garbage: 'garbage' }));
      await kubectl('create', 'serviceaccount', ACCOUNT, '--namespace=strangers');
      const authorities = await installation.kubectl([
        'get',
        'configmap',
        TLS_OBJECT,
        '-o',
        'jsonpath={.data.ca\\.crt}',
      ]);
      await apply(configMap(TLS_OBJECT, 'strangers', { 'ca.crt': authorities }));

      const projected = (audience?: string) => ({
        serviceAccountToken: { path: 'token', ...(audience && { audience }) },
      });
      const kept = (key: string) => ({ configMap: { name: 'tokens', items: [{ key, path: 'token' }] } });
      const strangers: readonly Stranger[] = [
        { name: 'no-audience', token: projected(), reason: /its audience is .*, not fairlead-control-plane/ },
        {
          name: 'other-account',
          account: 'default',
          token: projected(AUDIENCE),
          reason: /it is of .*:fairlead:default/,
        },
        {
          name: 'other-namespace',
          namespace: 'strangers',
          token: projected(AUDIENCE),
          reason: /it is of .*:strangers:fairlead-gateway/,
        },
        { name: 'forged', token: kept('forged'), reason: /the token is refused: .*invalid/ },
        { name: 'garbage', token: kept('garbage'), reason: /it is no token of a ServiceAccount/ },
        {
          name: 'poses-as-another',
          token: projected(AUDIENCE),
          nodeId: gateway?.metadata.name ?? '',
          reason: /the token is of pod poses-as-another, which may not speak for node "fairlead-gateway-/,
        },
      ];
      const leader = await controlPlane.untilLeader();
      const leaderIp = (await controlPlane.operators()).find(({ metadata }) => metadata.name === leader)?.status.podIP;
      const plain: Stranger = { name: 'plain', reason: /no TLS/ };
      for (const stranger of [...strangers, plain]) await apply(strangerPod(stranger, leaderIp ?? ''));

      for (const { name, namespace = installation.namespace, reason } of [...strangers, plain]) {
        const path = ['get', 'pod', name, `--namespace=${namespace}`, '-o', 'jsonpath={.status.podIP}'];
        const address = await until(`address of ${name}`, async () => (await kubectl(...path)) || undefined, 60_000);
        const refusal = await until(
          `the operator to tell of ${name}`,
          () => controlPlane.events(leader, 'operator', 'agent.unauthenticated').find(({ peer }) => peer === address),
          60_000,
        );
        assert.match(String(refusal.reason), reason);
        t.diagnostic(`${name}: ${refusal.reason}`);
        const log = () => installation.nodes.logs(namespace, name, 'extproc');
        await until(
          `${name} to tell of it`,
          () => name === 'plain' || reason.test(log().replaceAll('\\"', '"')),
          60_000,
        );
        assert.doesNotMatch(log(), /table\.received/);
        assert.equal((await fetch(`http://${address}:18002/readyz`)).status, 503);
        await kubectl('delete', 'pod', name, `--namespace=${namespace}`, '--grace-period=1', '--wait=false');
      }
      const metrics = await fetch(`http://${leaderIp}:18001/metrics`).then(answer => answer.text());
      assert.match(metrics, /^fairlead_operator_agents 2$/m);
      assert.match(metrics, /^fairlead_operator_agent_streams_total\{result="refused"\} [1-9]/m);
    });

    test('the certificate is renewed under agents that stay; new connections see the new one', {
      timeout,
    }, async () => {
      const before = await secret();
      await controlPlane.untilAgents('connected');
      const disconnections = await controlPlane.disconnections();
      const authority = authorityOf(before);
      const old = await due(authority);
      await patchSecret(old);
      const known = [before('tls.crt'), old['tls.crt']].map(pem => new X509Certificate(pem).fingerprint256);
      await until(
        'a new certificate',
        async () => {
          const now = await served(authority.certificate);
          return now && !known.includes(now.fingerprint256);
        },
        90_000,
      );
      assert.deepEqual(issued(await controlPlane.untilLeader()).at(-1), 'certificate');
      assert.deepEqual(await controlPlane.disconnections(), disconnections);
    });
  });

  test('a new authority, and a Secret that is emptied: agents come back, traffic never left', { timeout }, async t => {
    load = new SteadyLoad({ url, clients: 4, models: ['llama'], tokens: 2 });
    await load.untilMore(20);
    const authority = authorityOf(await secret());
    // The authority can sign no more: another is made known, beside it, before it signs.
    await patchSecret({ 'ca.key': 'lost' });
    assert.deepEqual(issued(await nextLeader()), ['authority']);
    await agentsBack(t, 'the old certificate, another authority');
    const both = (await secret())('ca.crt');
    assert.equal(both.split('BEGIN CERTIFICATE').length, 3);
    await patchSecret(await due(authority));
    assert.deepEqual(issued(await nextLeader()), ['certificate']);
    await agentsBack(t, 'a certificate by the new authority');
    const [newest = ''] = both.split(/(?<=END CERTIFICATE-----\n)/);
    assert.ok(await served(newest), 'signed by the new one');
    await patchSecret(null);
    assert.deepEqual(issued(await nextLeader()), ['everything']);
    await agentsBack(t, 'all anew, known to no agent before');
    assert.equal(await served(both), undefined, 'nothing of before');
    assert.ok(await served((await secret())('ca.crt')));
    await load.untilMore(20);
    await load.stop();
    t.diagnostic(`${load.answers.length} answers, ${load.failures.length} failures`);
    assert.deepEqual(load.failures, []);
  });
});

function configMap(name: string, namespace: string, data: Readonly<Record<string, string>>) {
  return { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name, namespace }, data };
}

/** The authority that the Secret keeps. */
function authorityOf(secret: (key: string) => string) {
  return { certificate: secret('ca.crt'), key: secret('ca.key') };
}

/** A certificate that is to be renewed, as the Secret keeps it. */
async function due(authority: ReturnType<typeof authorityOf>) {
  const { certificate, key } = await issueServerCertificate(authority, [SERVER_NAME], Date.now() - 70 * DAY_MS);
  return { 'tls.crt': certificate, 'tls.key': key };
}
