import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { type TestContext, test } from 'node:test';
import type { ApiRequest } from '../api/api-connection.ts';
import { fieldsOf } from '../api/api-failure.ts';
import { issueAuthority, issueServerCertificate } from './issue.ts';
import { SecretObjects } from './secret-objects.fixture.ts';
import { type CertificateEvent, serveCertificate } from './serve-certificate.ts';

const NAME = { namespace: 'fairlead', name: 'tls' };
const SECRET = '/api/v1/namespaces/fairlead/secrets/tls';
const CONFIG_MAP = '/api/v1/namespaces/fairlead/configmaps/tls';
const NAMES = ['control-plane.fairlead.svc'];
const DAY_MS = 86_400_000;

/** A replica that looks at the Secret all the time, and whose events can be waited for. */
function replica(t: TestContext, api: SecretObjects, intervalMs = 5) {
  const events: CertificateEvent[] = [];
  let more = Promise.withResolvers<void>();
  const stopped = new AbortController();
  t.after(() => stopped.abort());
  const serving = serveCertificate({
    api,
    secret: NAME,
    dnsNames: NAMES,
    signal: stopped.signal,
    intervalMs,
    onEvent: event => {
      events.push(event);
      more.resolve();
      more = Promise.withResolvers();
    },
  });
  const until = async <Name extends CertificateEvent['event']>(name: Name) => {
    for (;;) {
      const found = events.find(({ event }) => event === name);
      if (found) {
        events.splice(events.indexOf(found), 1);
        return found as Extract<CertificateEvent, { event: Name }>;
      }
      await more.promise;
    }
  };
  return { events, serving, until, stop: () => stopped.abort() };
}

function encoded(data: Readonly<Record<string, string>>) {
  return Object.fromEntries(Object.entries(data).map(([key, text]) => [key, Buffer.from(text).toString('base64')]));
}

test('an empty Secret is filled, and the ConfigMap tells whom to trust; what else they have stays', async t => {
  const api = new SecretObjects();
  api.put(SECRET, {
    type: 'Opaque',
    metadata: { labels: { app: 'x' }, annotations: { helm: 'y' } },
    data: { mine: 'bQ==' },
  });
  api.put(CONFIG_MAP, { metadata: {}, data: { other: 'z' } });
  const { serving, until } = replica(t, api);
  const { certificate } = (await serving).current;
  assert.equal(api.text(SECRET, 'tls.crt'), certificate);
  assert.equal(api.text(SECRET, 'mine'), 'm');
  const secret = api.objects.get(SECRET);
  assert.equal(secret?.type, 'Opaque');
  const { labels, annotations } = fieldsOf(secret?.metadata);
  assert.deepEqual([labels, fieldsOf(annotations).helm], [{ app: 'x' }, 'y']);
  await until('certificate.authorities_published');
  assert.deepEqual(api.objects.get(CONFIG_MAP)?.data, { other: 'z', 'ca.crt': api.text(SECRET, 'ca.crt') });
});

test('replicas that begin at once serve the same, made once', async t => {
  const api = new SecretObjects();
  const replicas = Array.from({ length: 4 }, () => replica(t, api));
  const sources = await Promise.all(replicas.map(({ serving }) => serving));
  assert.equal(new Set(sources.map(({ current }) => current.certificate)).size, 1);
  assert.equal(api.writes.filter(write => write.endsWith(SECRET)).length, 1);
  const issued = replicas.flatMap(({ events }) => events).filter(({ event }) => event === 'certificate.issued');
  assert.equal(issued.length, 1);
});

test('a certificate that is due is renewed by one replica and served by all; its authority stays', async t => {
  const api = new SecretObjects();
  const [first, second] = [replica(t, api), replica(t, api)];
  const sources = await Promise.all([first.serving, second.serving]);
  await Promise.all([first.until('certificate.served'), second.until('certificate.served')]);
  const authority = { certificate: api.text(SECRET, 'ca.crt'), key: api.text(SECRET, 'ca.key') };
  const old = await issueServerCertificate(authority, NAMES, Date.now() - 80 * DAY_MS);
  const secret = api.objects.get(SECRET) ?? assert.fail('no Secret');
  const data = { ...fieldsOf(secret.data), ...encoded({ 'tls.crt': old.certificate, 'tls.key': old.key }) };
  const before = sources[0].current;
  const annotations = { 'fairlead.dev/certificate': new X509Certificate(old.certificate).fingerprint256 };
  api.put(SECRET, { ...secret, metadata: { annotations }, data });
  await Promise.all([first.until('certificate.served'), second.until('certificate.served')]);
  assert.notEqual(sources[0].current.certificate, before.certificate);
  assert.equal(sources[0].current.certificate, sources[1].current.certificate);
  assert.equal(api.text(SECRET, 'ca.crt'), authority.certificate);
});

test("somebody else's certificate is served and never written, its authority told, whatever becomes of it", async t => {
  const api = new SecretObjects();
  const authority = await issueAuthority(Date.now());
  const server = await issueServerCertificate(authority, ['other.example'], Date.now() - 80 * DAY_MS);
  const foreign = { 'ca.crt': authority.certificate, 'tls.crt': server.certificate, 'tls.key': server.key };
  api.put(SECRET, { metadata: {}, data: encoded(foreign) });
  const { serving, until } = replica(t, api);
  const source = await serving;
  assert.equal(source.current.certificate, server.certificate);
  assert.deepEqual((await until('certificate.names_lacking')).names, NAMES);
  assert.equal((await until('certificate.served')).ours, false);
  assert.equal(fieldsOf(api.objects.get(CONFIG_MAP)?.data)['ca.crt'], authority.certificate);
  assert.deepEqual(api.writes, [`POST ${CONFIG_MAP}`]);

  api.put(SECRET, { metadata: {}, data: encoded({ ...foreign, 'tls.key': 'garbage' }) });
  const { message } = await until('certificate.failed');
  assert.match(message, /filled by somebody else, .*tls.key holds no private key.*empty it/);
  assert.equal(source.current.certificate, server.certificate);
  assert.equal(api.writes.length, 1);

  api.put(SECRET, { metadata: {}, data: {} });
  assert.equal((await until('certificate.issued')).reason, 'the Secret is empty');
  assert.equal((await until('certificate.served')).ours, true);
});

test('a Secret that somebody else fills after us is theirs, though our annotation and key stay', async t => {
  const api = new SecretObjects();
  const { serving, until } = replica(t, api);
  await serving;
  await until('certificate.served');
  const secret = api.objects.get(SECRET) ?? assert.fail('no Secret');
  const authority = await issueAuthority(Date.now());
  const server = await issueServerCertificate(authority, NAMES, Date.now() - 80 * DAY_MS);
  const theirs = encoded({ 'ca.crt': authority.certificate, 'tls.crt': server.certificate, 'tls.key': server.key });
  api.put(SECRET, { ...secret, data: { ...fieldsOf(secret.data), ...theirs } });
  const served = await until('certificate.served');
  assert.deepEqual([served.ours, api.text(SECRET, 'tls.crt')], [false, server.certificate]);
});

test('a ConfigMap that cannot be written is tried again soon, one that another changed at once', async t => {
  const api = new SecretObjects();
  api.put(SECRET, { metadata: {} });
  api.forbidden.add('POST');
  const { serving, until } = replica(t, api, 3_600_000);
  await serving;
  await until('certificate.failed');
  // Another operator makes it between our reading and our writing.
  const send = api.send.bind(api);
  t.mock.method(api, 'send', async (request: ApiRequest) => {
    if (request.method === 'POST') api.put(CONFIG_MAP, { metadata: {}, data: { other: 'z' } });
    return send(request);
  });
  api.forbidden.delete('POST');
  await until('certificate.authorities_published');
  assert.deepEqual(api.objects.get(CONFIG_MAP)?.data, { other: 'z', 'ca.crt': api.text(SECRET, 'ca.crt') });
});

test('the API server away: what is served stays, and what fails is told once', async t => {
  const api = new SecretObjects();
  api.away = true;
  const { serving, until, events } = replica(t, api);
  assert.match((await until('certificate.failed')).message, /ECONNREFUSED/);
  api.away = false;
  const source = await serving;
  const { certificate } = source.current;
  await until('certificate.served');
  api.away = true;
  await until('certificate.failed');
  const send = t.mock.method(api, 'send');
  while (send.mock.callCount() < 3) await new Promise(setImmediate);
  assert.equal(source.current.certificate, certificate);
  assert.deepEqual(
    events.filter(({ event }) => event === 'certificate.failed'),
    [],
  );
});

test('a Secret that may not be created: whoever installs is told what to do', async t => {
  const api = new SecretObjects();
  api.forbidden.add('POST');
  const { until, stop, serving } = replica(t, api);
  const { message } = await until('certificate.failed');
  assert.match(
    message,
    /create the empty Secret fairlead\/tls, or grant .* Role in fairlead .*\[secrets\].*\[create\]/,
  );
  stop();
  await assert.rejects(serving, { name: 'AbortError' });
});

test('a ConfigMap that may not be written does not keep from serving', async t => {
  const api = new SecretObjects();
  api.put(SECRET, { metadata: {} });
  api.forbidden.add('POST');
  const { until, serving } = replica(t, api);
  await serving;
  assert.match((await until('certificate.failed')).message, /empty ConfigMap fairlead\/tls/);
});
