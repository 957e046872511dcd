import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, suite, type TestContext, test } from 'node:test';
import { create } from '@bufbuild/protobuf';
import { type ChannelCredentials, credentials } from '@grpc/grpc-js';
import { fileCredentials } from '../../agent/control-plane/file-credentials.ts';
import { Reporter } from '../../agent/report/reporter.ts';
import { type TableEvent, TableFeed } from '../../agent/table/table-feed.ts';
import { kubeConfigAccess } from '../../operator/api/api-access.ts';
import { ApiConnection } from '../../operator/api/api-connection.ts';
import { Publisher } from '../../operator/publish/publisher.ts';
import { agentAuthentication, type RefusalEvent } from '../../operator/trust/agent-authentication.ts';
import { CertificateSource } from '../../operator/trust/certificate-source.ts';
import { issueAuthority, issueServerCertificate } from '../../operator/trust/issue.ts';
import { type CertificateEvent, serveCertificate } from '../../operator/trust/serve-certificate.ts';
import { grpcServerCredentials } from '../../operator/trust/server-credentials.ts';
import { TokenReviewer } from '../../operator/trust/token-reviewer.ts';
import { NodeReportSchema } from '../../proto/gen/fairlead/v1/report_pb.js';
import { GatewaySchema } from '../../proto/gen/fairlead/v1/table_pb.js';
import { freePorts } from '../e2e/harness/free-ports.ts';
import { until } from '../e2e/harness/until.ts';
import { kubeConfigOf } from './api-objects.ts';
import { Cluster } from './cluster.ts';

const NAMESPACE = 'fairlead';
const AUDIENCE = 'fairlead-control-plane';
const TLS = { namespace: NAMESPACE, name: 'fairlead-control-plane-tls' };
const DAY_MS = 86_400_000;
/** Nothing here takes this long; it only ends a test that would hang, milliseconds. */
const timeout = 60_000;

/** What the chart grants for this, and nothing else. */
const RBAC = `
{apiVersion: v1, kind: Namespace, metadata: {name: fairlead}}
---
{apiVersion: v1, kind: ServiceAccount, metadata: {name: operator, namespace: fairlead}}
---
{apiVersion: v1, kind: ServiceAccount, metadata: {name: gateway, namespace: fairlead}}
---
{apiVersion: v1, kind: ServiceAccount, metadata: {name: stranger, namespace: fairlead}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: review}
rules: [{apiGroups: [authentication.k8s.io], resources: [tokenreviews], verbs: [create]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: review}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: review}
subjects: [{kind: ServiceAccount, name: operator, namespace: fairlead}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: certificate, namespace: fairlead}
rules:
- {apiGroups: [""], resources: [secrets, configmaps], resourceNames: [${TLS.name}], verbs: [get, update]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: certificate, namespace: fairlead}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: certificate}
subjects: [{kind: ServiceAccount, name: operator, namespace: fairlead}]
`;

const GATEWAY = create(GatewaySchema, { listeners: [{ name: 'http', port: 8888 }] });

const emptySecret = { apiVersion: 'v1', kind: 'Secret', metadata: TLS };
const emptyConfigMap = { apiVersion: 'v1', kind: 'ConfigMap', metadata: TLS };

suite('trust between agents and the operator, on a real API server', { timeout: 10 * timeout }, () => {
  const directory = mkdtempSync(join(tmpdir(), 'fairlead-trust-'));
  const files = { ca: join(directory, 'ca.crt'), token: join(directory, 'token') };
  let cluster: Cluster;
  let api: ApiConnection;

  const apply = (...documents: readonly object[]) =>
    cluster.kubectl(['apply', '-f', '-'], documents.map(document => JSON.stringify(document)).join('\n'));

  const tokenOf = async (account: string, audience = AUDIENCE, ...more: readonly string[]) =>
    (await cluster.kubectl(['create', 'token', account, '-n', NAMESPACE, `--audience=${audience}`, ...more])).trim();

  const read = async (kind: string) =>
    JSON.parse(await cluster.kubectl(['get', kind, TLS.name, '-n', NAMESPACE, '-o', 'json'])) as {
      data: Record<string, string>;
      metadata: { annotations?: Record<string, string> };
    };

  const secretText = async (key: string) =>
    Buffer.from((await read('secret')).data[key] ?? '', 'base64').toString('utf8');

  /** The ConfigMap and the projected token, as a kubelet brings them to a pod. */
  const bring = async (account = 'gateway') => {
    writeFileSync(files.ca, (await read('configmap')).data['ca.crt'] ?? '');
    writeFileSync(files.token, await tokenOf(account));
  };

  /** An operator's server, whose events are kept. */
  async function operator(t: TestContext, address = '127.0.0.1:0', intervalMs = 50) {
    const events: (CertificateEvent | RefusalEvent)[] = [];
    const onEvent = (event: CertificateEvent | RefusalEvent) => events.push(event);
    const stopped = new AbortController();
    const source = await serveCertificate({
      api,
      secret: TLS,
      dnsNames: ['localhost'],
      signal: stopped.signal,
      onEvent,
      intervalMs,
    });
    const reviewer = new TokenReviewer({ api, audience: AUDIENCE, account: { namespace: NAMESPACE, name: 'gateway' } });
    const publisher = new Publisher();
    publisher.publish({
      gateway: GATEWAY,
      models: new Map(),
      endpoints: new Map(),
      consumers: new Map(),
      secrets: new Map(),
    });
    const listener = await publisher.listen(address, stopped.signal, {
      credentials: grpcServerCredentials(source),
      guard: agentAuthentication({ reviewer, onEvent }),
    });
    const stop = async () => {
      stopped.abort();
      await listener.closed;
    };
    t.after(stop);
    const port = Number(listener.address.split(':')[1]);
    const told = (words: RegExp) =>
      until(`${words}`, () => events.find(event => words.test(JSON.stringify(event)))).catch(error =>
        assert.fail(`${error.message}: ${JSON.stringify(events)}`),
      );
    return { publisher, source, events, stop, told, port };
  }

  /** An agent's part of the connection. */
  async function agent(
    t: TestContext,
    port: number,
    how: (() => ChannelCredentials) | 'plain' = fileCredentials(files),
    nodeId = 'node',
  ) {
    const events: TableEvent[] = [];
    let tables = 0;
    const stopped = new AbortController();
    const { signal } = stopped;
    const address = `localhost:${port}`;
    const shown = how === 'plain' ? undefined : how;
    const feed = await TableFeed.open({
      address,
      credentials: shown,
      nodeId,
      file: join(mkdtempSync(join(directory, 'agent-')), 'table'),
      signal,
      onTable: () => {
        tables += 1;
      },
      onEvent: event => events.push(event),
    });
    const reporter = new Reporter({ address, credentials: shown, signal });
    reporter.report(create(NodeReportSchema, { nodeId, tableVersion: 'said' }));
    t.after(async () => {
      stopped.abort();
      await feed.close();
    });
    const explained = (waited: Promise<unknown>) =>
      waited.catch(error => assert.fail(`${error.message}: ${JSON.stringify(events)}`));
    return {
      disconnections: () => events.filter(({ event }) => event === 'table.disconnected').length,
      served: () => explained(until('a table', () => tables > 0)),
      connected: (times: number) =>
        until('a connection', () => events.filter(({ event }) => event === 'table.connected').length >= times),
      refused: async (reason: RegExp) => {
        const isSaid = (event: TableEvent) => event.event === 'table.disconnected' && reason.test(event.reason);
        await explained(until(`refusal ${reason}`, () => events.some(isSaid)));
        assert.equal(tables, 0);
      },
    };
  }

  before(async () => {
    cluster = await Cluster.start();
    await cluster.kubectl(['apply', '-f', '-'], RBAC);
    await apply(emptySecret, emptyConfigMap);
    const kubeConfig = kubeConfigOf(cluster);
    const token = (await cluster.kubectl(['create', 'token', 'operator', '-n', NAMESPACE, '--duration=1h'])).trim();
    kubeConfig.users = kubeConfig.users.map(user => ({ name: user.name, token }));
    api = new ApiConnection(kubeConfigAccess(kubeConfig));
  });

  after(() => {
    cluster?.stop();
    rmSync(directory, { recursive: true, force: true });
  });

  test('two operators that begin at once, with the least of rights, end with one certificate', { timeout }, async t => {
    const [first, second] = await Promise.all([operator(t), operator(t)]);
    assert.deepEqual(first.source.current.certificate, second.source.current.certificate);
    assert.equal((await read('configmap')).data['ca.crt'], await secretText('ca.crt'));
    const issued = [...first.events, ...second.events].filter(({ event }) => event === 'certificate.issued');
    assert.equal(issued.length, 1);
    const failed = [...first.events, ...second.events].filter(({ event }) => event === 'certificate.failed');
    assert.deepEqual(failed, []);
  });

  test('the right token gets the table, and its report is heard', { timeout }, async t => {
    const { port, publisher, events } = await operator(t);
    await bring();
    const { served } = await agent(t, port);
    await served();
    await until('the report', () => publisher.agents().some(({ report }) => report?.tableVersion === 'said'));
    assert.deepEqual(
      events.filter(({ event }) => event === 'agent.unauthenticated'),
      [],
    );
  });

  test('files that come late are waited for', { timeout }, async t => {
    const { port } = await operator(t);
    rmSync(files.ca, { force: true });
    const { refused, served } = await agent(t, port);
    await refused(/ca\.crt is not there yet/);
    await bring();
    await served();
  });

  test('a wrong audience, a foreign account, a forged token, none at all', { timeout }, async t => {
    await bring();
    const good = await tokenOf('gateway');
    const forged = `${good.slice(0, -8)}${good.at(-1) === 'A' ? 'BBBBBBBB' : 'AAAAAAAA'}`;
    const cases: readonly (readonly [string, RegExp])[] = [
      [await tokenOf('gateway', 'https://kubernetes.default.svc'), /its audience is .*kubernetes.default.svc/],
      [await tokenOf('stranger'), /it is of .*system:serviceaccount:fairlead:stranger/],
      [forged, /the token is refused: .*invalid bearer token/],
      ['garbage', /it is no token of a ServiceAccount/],
    ];
    for (const [token, reason] of cases) {
      const { port, told, publisher } = await operator(t);
      writeFileSync(files.token, token);
      const { refused } = await agent(t, port);
      await refused(reason);
      await told(reason);
      assert.deepEqual(publisher.agents(), []);
    }
    const { port, told } = await operator(t);
    const tls = () => credentials.createSsl(readFileSync(files.ca));
    const { refused } = await agent(t, port, tls);
    await refused(/no token/);
    await told(/no token/);
  });

  test('a token of an account that is gone', { timeout }, async t => {
    const { port, told } = await operator(t);
    await bring();
    await cluster.kubectl(['delete', 'serviceaccount', 'gateway', '-n', NAMESPACE]);
    t.after(() => cluster.kubectl(['create', 'serviceaccount', 'gateway', '-n', NAMESPACE]));
    const { refused } = await agent(t, port);
    await refused(/the token is refused/);
    await told(/the token is refused/);
  });

  test('a token that is bound to a pod speaks for that pod only', { timeout }, async t => {
    const { port, publisher } = await operator(t);
    await bring();
    const spec = { serviceAccountName: 'gateway', nodeName: 'n', containers: [{ name: 'c', image: 'i' }] };
    const metadata = { namespace: NAMESPACE, name: 'gateway-0' };
    await apply({ apiVersion: 'v1', kind: 'Pod', metadata, spec });
    writeFileSync(
      files.token,
      await tokenOf('gateway', AUDIENCE, '--bound-object-kind=Pod', '--bound-object-name=gateway-0'),
    );
    const other = await agent(t, port, undefined, 'gateway-1');
    await other.refused(/pod gateway-0, which may not speak for node "gateway-1"/);
    const own = await agent(t, port, undefined, 'gateway-0');
    await own.served();
    assert.deepEqual(
      publisher.agents().map(({ nodeId }) => nodeId),
      ['gateway-0'],
    );
  });

  test('no TLS, and a server that is not ours', { timeout }, async t => {
    const first = await operator(t);
    await bring();
    const plain = await agent(t, first.port, 'plain');
    await plain.refused(/./);
    await first.told(/no TLS/);
    const { port, told } = await operator(t);
    const { certificate } = await issueAuthority(Date.now());
    writeFileSync(files.ca, certificate);
    const astray = await agent(t, port);
    await astray.refused(/certificate/);
    await told(/UNKNOWN_CA|ECONNRESET|decrypt/i);
  });

  test('certificate, authority and token change under a stream that stays, and for connections after', {
    timeout,
  }, async t => {
    const [port = 0] = await freePorts(1);
    const { source, told, publisher, stop } = await operator(t, `127.0.0.1:${port}`);
    await bring();
    const { served, disconnections, connected } = await agent(t, port);
    await served();
    const before = source.current.certificate;
    const authority = { certificate: await secretText('ca.crt'), key: await secretText('ca.key') };
    const patch = (data: Record<string, string>, annotations = {}) => {
      const encoded = Object.entries(data).map(([key, text]) => [key, Buffer.from(text).toString('base64')]);
      const change = JSON.stringify({ metadata: { annotations }, data: Object.fromEntries(encoded) });
      return cluster.kubectl(['patch', 'secret', TLS.name, '-n', NAMESPACE, '--type=merge', '-p', change]);
    };
    // Due, as after two months.
    const old = await issueServerCertificate(authority, ['localhost'], Date.now() - 70 * DAY_MS);
    const { fingerprint256 } = new X509Certificate(old.certificate);
    await patch({ 'tls.crt': old.certificate, 'tls.key': old.key }, { 'fairlead.dev/certificate': fingerprint256 });
    await told(/"issued":"certificate","reason":"tls.crt is due/);
    await until('the renewed certificate', () => ![before, old.certificate].includes(source.current.certificate));
    // The key of the authority is lost: a new one is made known beside the old, and signs from the next renewal on.
    await patch({ 'ca.key': 'lost' });
    await told(/"issued":"authority"/);
    const both = await until('two authorities', async () => {
      const bundle = (await read('configmap')).data['ca.crt'] ?? '';
      return bundle.split('BEGIN CERTIFICATE').length === 3 && bundle;
    });
    assert.ok(both.endsWith(authority.certificate));
    await patch({ 'tls.key': 'lost' });
    await told(/tls.key holds no private key/);
    await cluster.kubectl(['get', 'secret', TLS.name, '-n', NAMESPACE]);
    assert.equal(disconnections(), 0);
    assert.equal(publisher.agents().length, 1);

    await bring();
    const fresh = await agent(t, port, undefined, 'fresh');
    await fresh.served();
    await stop();
    await until('the end of the connection', () => disconnections() > 0);
    await operator(t, `127.0.0.1:${port}`);
    await connected(2);
    await fresh.connected(2);
  });

  test('the API server away: who is known comes back, a new one is told to try again, and does', {
    timeout,
  }, async t => {
    const { port, publisher, told, events } = await operator(t);
    await bring();
    const { served, disconnections } = await agent(t, port);
    await served();
    await cluster.stopApiServer();
    await told(/certificate.failed/);
    // A new agent with the same token, as after a restart of its container.
    const again = await agent(t, port, undefined, 'again');
    await again.served();
    assert.equal(publisher.agents().length, 2);
    assert.equal(disconnections(), 0);
    assert.deepEqual(
      events.filter(({ event }) => event === 'agent.unauthenticated'),
      [],
    );
    const second = await newcomer(t);
    await second.agent.refused(/the API server cannot tell/);
    await cluster.startApiServer();
    await second.agent.served();
  });

  /** An agent whose token nobody has reviewed yet. */
  async function newcomer(t: TestContext) {
    const reviewer = new TokenReviewer({ api, audience: AUDIENCE, account: { namespace: NAMESPACE, name: 'gateway' } });
    const authority = await issueAuthority(Date.now());
    const served = await issueServerCertificate(authority, ['localhost'], Date.now());

    const stopped = new AbortController();
    const publisher = new Publisher();
    publisher.publish({
      gateway: GATEWAY,
      models: new Map(),
      endpoints: new Map(),
      consumers: new Map(),
      secrets: new Map(),
    });
    const source = new CertificateSource({ certificate: served.certificate, key: served.key });
    const listener = await publisher.listen('127.0.0.1:0', stopped.signal, {
      credentials: grpcServerCredentials(source),
      guard: agentAuthentication({ reviewer }),
    });
    t.after(() => {
      stopped.abort();
      return listener.closed;
    });
    writeFileSync(files.ca, authority.certificate);
    return { agent: await agent(t, Number(listener.address.split(':')[1])) };
  }

  test('the operator may do nothing with other Secrets', { timeout }, async () => {
    const path = `/api/v1/namespaces/${NAMESPACE}/secrets`;
    for (const request of [
      { method: 'GET', path },
      { method: 'GET', path: `${path}/other` },
      { method: 'POST', path, body: { ...emptySecret, metadata: { name: 'x' } } },
    ] as const) {
      const { failure } = await api.send(request, AbortSignal.timeout(timeout));
      assert.equal(failure?.code, 403);
    }
  });

  test('a Secret that is gone and may not be created is told of; what is served stays', { timeout }, async t => {
    const { told, source, port } = await operator(t);
    const { certificate } = source.current;
    await bring();
    await cluster.kubectl(['delete', 'secret', TLS.name, '-n', NAMESPACE]);
    await told(/create the empty Secret fairlead\/fairlead-control-plane-tls, or grant/);
    assert.equal(source.current.certificate, certificate);
    const { served } = await agent(t, port);
    await served();
    await apply(emptySecret);
    await told(/the Secret is empty/);
  });
});
