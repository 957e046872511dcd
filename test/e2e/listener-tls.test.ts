import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { connect as connectHttp2 } from 'node:http2';
import { request } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { connect, type SecureVersion } from 'node:tls';
import { promisify } from 'node:util';
import { stringify } from 'yaml';
import { type SimPod, startPods } from '../../sim/pod.ts';
import { Authority, type KeyPair, tlsSecret } from './harness/certificates.ts';
import { Child } from './harness/child.ts';
import { envoyStats } from './harness/envoy-stats.ts';
import { freePorts } from './harness/free-ports.ts';
import { Gateway, type Manifest, model } from './harness/gateway.ts';
import { HeldPod } from './harness/held-pod.ts';
import { isOpen } from './harness/processes.ts';
import { until } from './harness/until.ts';

const authority = new Authority();
after(() => authority.remove());

const CHAT = { model: 'm', messages: [{ role: 'user', content: 'Hi' }], max_tokens: 3 };

/** What a new handshake is shown: serial number of the certificate and protocol; undefined when there is none. */
function handshake(port: number, options: { alpn?: string[]; maxVersion?: SecureVersion } = {}) {
  const { promise, resolve } = Promise.withResolvers<{ serial: string; protocol: string | false | null } | undefined>();
  const { alpn = ['http/1.1'], maxVersion = 'TLSv1.3' } = options;
  const about = { host: '127.0.0.1', port, servername: 'localhost', ca: authority.certificate };
  const socket = connect({ ...about, ALPNProtocols: alpn, maxVersion, session: undefined }, () => {
    resolve({ serial: socket.getPeerCertificate().serialNumber, protocol: socket.alpnProtocol });
    socket.destroy();
  });
  socket.on('error', () => resolve(undefined));
  return promise;
}

const serialOf = async (port: number) => (await handshake(port))?.serial;

/** The answer over one connection of HTTP/1.1. */
function chat(port: number, more: object = {}): Promise<{ status: number; body: string }> {
  const { promise, resolve, reject } = Promise.withResolvers<{ status: number; body: string }>();
  const headers = { 'content-type': 'application/json' };
  const about = { host: 'localhost', port, path: '/v1/chat/completions', method: 'POST', ca: authority.certificate };
  const asked = request({ ...about, headers, agent: false }, response => {
    let body = '';
    response.setEncoding('utf8').on('data', chunk => {
      body += chunk;
    });
    response.on('end', () => resolve({ status: response.statusCode ?? 0, body }));
    response.on('error', reject);
  });
  asked.on('error', reject);
  asked.end(JSON.stringify({ ...CHAT, ...more }));
  return promise;
}

/** A client of HTTP/2 that keeps its one connection. */
class Http2Client {
  readonly #session;
  constructor(url: string) {
    this.#session = connectHttp2(url, { ca: authority.certificate });
    this.#session.on('error', () => undefined);
  }
  get alive(): boolean {
    return !this.#session.closed && !this.#session.destroyed;
  }
  /** Its text grows as it comes. */
  chat(name: string, more: object = {}): { text: string; done: Promise<number> } {
    const stream = this.#session.request({
      ':method': 'POST',
      ':path': '/v1/chat/completions',
      'content-type': 'application/json',
    });
    const { promise, resolve, reject } = Promise.withResolvers<number>();
    const answer = { text: '', done: promise };
    let status = 0;
    stream.on('response', headers => {
      status = Number(headers[':status']);
    });
    stream.setEncoding('utf8').on('data', chunk => {
      answer.text += chunk;
    });
    stream.on('end', () => resolve(status));
    stream.on('error', reject);
    stream.end(JSON.stringify({ ...CHAT, model: name, ...more }));
    return answer;
  }
  close(): void {
    this.#session.close();
  }
}

suite('TLS on a listener', () => {
  const first = authority.issue();
  let pods: SimPod[] = [];
  let held: HeldPod;
  let gateway: Gateway;
  let tlsPort = 0;
  let strictPort = 0;
  let missingPort = 0;

  const writeSecret = (pair: KeyPair) => gateway.write('secret.yaml', [tlsSecret('gateway-tls', pair)]);
  const writeListeners = (more: object = {}) =>
    gateway.writeGateway({
      listeners: [
        { name: 'http', port: gateway.port },
        { name: 'https', port: tlsPort, tls: { secretRef: { name: 'gateway-tls' } } },
        { name: 'strict', port: strictPort, tls: { secretRef: { name: 'gateway-tls' }, minVersion: '1.3' } },
        { name: 'missing', port: missingPort, tls: { secretRef: { name: 'nobody-wrote-it' } } },
      ],
      ...more,
    });

  before(async () => {
    [tlsPort = 0, strictPort = 0, missingPort = 0] = await freePorts(3);
    pods = await startPods([{ name: 'm-0', models: ['m'], timeScale: 20 }]);
    held = await HeldPod.start();
    gateway = await Gateway.start({
      resources: [model('m', [pods[0]?.endpoint ?? '']), model('held', [held.endpoint])],
    });
    writeSecret(first);
    writeListeners();
    await until('the port with TLS', () => serialOf(tlsPort));
  });

  after(async () => {
    await gateway?.close();
    await held?.close();
    await Promise.all(pods.map(pod => pod.close()));
  });

  test('the official client is answered over https', async () => {
    const script = `
      import OpenAI from 'openai';
      const client = new OpenAI({ baseURL: 'https://localhost:${tlsPort}/v1', apiKey: 'any_key', maxRetries: 0 });
      const stream = await client.chat.completions.create({ ...${JSON.stringify(CHAT)}, stream: true });
      let chunks = 0;
      for await (const chunk of stream) chunks += chunk.choices.length;
      console.log(JSON.stringify({ chunks, models: (await client.models.list()).data.map(({ id }) => id) }));`;
    const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', script], {
      cwd: join(import.meta.dirname, '..', '..'),
      env: { ...process.env, NODE_EXTRA_CA_CERTS: authority.file },
    });
    const { chunks, models } = JSON.parse(stdout) as { chunks: number; models: string[] };
    assert.ok(chunks > 0);
    assert.deepEqual(models.sort(), ['held', 'm']);
  });

  test('HTTP/2 by ALPN, HTTP/1.1 for who asks for that; in cleartext HTTP/2 for who begins with it', async () => {
    assert.equal((await handshake(tlsPort, { alpn: ['h2', 'http/1.1'] }))?.protocol, 'h2');
    assert.equal((await handshake(tlsPort, { alpn: ['http/1.1'] }))?.protocol, 'http/1.1');
    assert.equal((await chat(tlsPort)).status, 200);
    for (const url of [`https://localhost:${tlsPort}`, gateway.url]) {
      const client = new Http2Client(url);
      const answer = client.chat('m');
      assert.equal(await answer.done, 200, answer.text);
      client.close();
    }
  });

  test('an older TLS than the listener allows gets no connection', async () => {
    assert.ok(await handshake(tlsPort, { maxVersion: 'TLSv1.2' }));
    assert.ok(await handshake(strictPort));
    assert.equal(await handshake(strictPort, { maxVersion: 'TLSv1.2' }), undefined);
  });

  test('a listener whose secret is missing is closed and told of at its line, and no other is', async () => {
    await gateway.untilShown('secret default/nobody-wrote-it: not found');
    assert.match(gateway.output, /gateway\.yaml:\d+:\d+/);
    assert.equal(await isOpen(missingPort), false);
    assert.equal((await gateway.chat('m')).status, 200);
  });

  test('a new certificate is for new connections; a stream on an old one goes on to its end', async () => {
    const before = await serialOf(tlsPort);
    const client = new Http2Client(`https://localhost:${tlsPort}`);
    const stream = client.chat('held', { stream: true });
    await until('the begin of the stream', () => stream.text.includes('begin'));
    writeSecret(authority.issue());
    await until('the new certificate', async () => ![before, undefined].includes(await serialOf(tlsPort)));
    assert.ok(client.alive, 'the old connection was not closed');
    assert.equal(await client.chat('m').done, 200, 'and takes further requests');
    held.finish();
    assert.equal(await stream.done, 200);
    assert.ok(stream.text.endsWith('data: [DONE]\n\n'));
    assert.equal(held.cut, 0);
    client.close();
  });

  test('a key of another certificate changes nothing and is told of; the right one holds at once', async () => {
    const before = await serialOf(tlsPort);
    const next = authority.issue();
    writeSecret({ certificate: next.certificate, key: first.key });
    await gateway.untilShown('the certificate in "tls.crt" does not match the key in "tls.key"');
    assert.equal(await serialOf(tlsPort), before);
    writeSecret(next);
    await until('the new certificate', async () => ![before, undefined].includes(await serialOf(tlsPort)));
  });

  test('a secret that is gone for a while closes no port', async () => {
    const before = await serialOf(tlsPort);
    gateway.remove('secret.yaml');
    await gateway.untilShown('secret default/gateway-tls: not found');
    assert.equal(await serialOf(tlsPort), before);
    writeSecret(first);
    await until('the certificate that is back', async () => (await serialOf(tlsPort)) !== before);
  });

  test('a change of the listeners leaves their TLS as it is', async () => {
    writeListeners({ clientTimeouts: { headers: '3s' } });
    const { version } = (await gateway.node()).table ?? assert.fail();
    writeListeners({ clientTimeouts: { headers: '4s' }, cors: { allowOrigins: ['*'] } });
    await until('another table', async () => (await gateway.node()).table?.version !== version);
    const { envoy } = gateway.children();
    const warming = 'listener_manager.total_listeners_warming';
    await until('no listener waits', async () => (await envoyStats(envoy, `^${warming}$`)).get(warming) === 0);
    assert.deepEqual((await gateway.node()).envoy.refused, []);
    assert.ok(await serialOf(tlsPort));
    assert.equal((await chat(tlsPort)).status, 200);
  });

  test('a secret that only now is written opens its port', async () => {
    gateway.write('late.yaml', [tlsSecret('nobody-wrote-it', authority.issue())]);
    await until('the port', () => serialOf(missingPort));
    assert.equal((await chat(missingPort)).status, 200);
  });
});

suite('TLS on a node that starts without its control plane', () => {
  const base = mkdtempSync(join(tmpdir(), 'fairlead-e2e-'));
  const runDir = join(base, 'run');
  const resources = mkdtempSync(join(tmpdir(), 'fairlead-e2e-resources-'));
  const controlPlane = `unix:${join(base, 'operator.sock')}`;
  const pair = authority.issue({ algorithm: ['-algorithm', 'RSA', '-pkeyopt', 'rsa_keygen_bits:2048'] });
  let ports: number[] = [];
  let pods: SimPod[] = [];
  let children: Child[] = [];

  const start = (name: string, ...args: string[]) => {
    const child = new Child(name, ...args);
    children.push(child);
    return child;
  };
  const startOperator = () => start('operator', resources, '--listen', controlPlane);
  const startExtproc = () => {
    const log = ['--access-log', join(base, 'access.log')];
    return start('extproc', '--control-plane', controlPlane, '--run-dir', runDir, ...log);
  };
  const startEnvoy = () => start('envoy', '--run-dir', runDir, '--concurrency', '1');
  const stopAll = async () => {
    await Promise.all(children.map(child => child.end('SIGKILL')));
    children = [];
  };
  const write = (file: string, ...manifests: readonly Manifest[]) =>
    writeFileSync(join(resources, file), manifests.map(manifest => stringify(manifest)).join('---\n'));
  const answersPlainly = () =>
    fetch(`http://127.0.0.1:${ports[0]}/v1/models`).then(
      ({ ok }) => ok,
      () => false,
    );

  before(async () => {
    ports = await freePorts(3);
    pods = await startPods([{ name: 'm-0', models: ['m'], timeScale: 20 }]);
    const [port, tlsPort, adminPort] = ports;
    const listeners = [
      { name: 'http', port },
      { name: 'https', port: tlsPort, tls: { secretRef: { name: 'gateway-tls' } } },
    ];
    const spec = { listeners, admin: { port: adminPort } };
    write('gateway.yaml', {
      apiVersion: 'fairlead.dev/v1alpha1',
      kind: 'InferenceGateway',
      metadata: { name: 'g' },
      spec,
    });
    write('models.yaml', model('m', [pods[0]?.endpoint ?? '']), tlsSecret('gateway-tls', pair));
  });

  after(async () => {
    await stopAll();
    await Promise.all(pods.map(pod => pod.close()));
    for (const directory of [base, resources]) rmSync(directory, { recursive: true, force: true });
  });

  test('the key is never on disk, nor in what the node says', async () => {
    startOperator();
    startExtproc();
    startEnvoy();
    await until('TLS', () => serialOf(ports[1] ?? 0));
    await until('the table on disk', () => readdirSync(runDir).includes('table.bin'));
    const said = children.map(({ output }) => output);
    const admin = await fetch(`http://127.0.0.1:${ports[2]}/table`).then(response => response.text());
    const files = readdirSync(base, { recursive: true, encoding: 'utf8' })
      .map(name => join(base, name))
      .filter(file => statSync(file).isFile());
    assert.ok(files.some(file => file.endsWith('envoy.json')));
    const texts = [...said, admin, ...files.map(file => readFileSync(file, 'latin1'))];
    const secrets = pair.key.split('\n').filter(line => line.length > 20 && !line.startsWith('-----'));
    const inner = secrets.flatMap(line => [line, Buffer.from(line, 'base64').toString('latin1').slice(0, 16)]);
    for (const text of texts) for (const secret of inner) assert.ok(!text.includes(secret));
    assert.equal(statSync(join(runDir, 'table.bin')).mode & 0o777, 0o600);
  });

  test('the plain port answers at once, that with TLS when the control plane is back', async () => {
    await stopAll();
    startExtproc();
    startEnvoy();
    await until('the plain port', answersPlainly);
    assert.equal(await isOpen(ports[1] ?? 0), false);
    startOperator();
    await until('TLS', () => serialOf(ports[1] ?? 0));
    assert.equal((await chat(ports[1] ?? 0)).status, 200);
  });

  test('extproc that restarts without the control plane closes no port of an Envoy that has its certificate', async () => {
    await stopAll();
    const operator = startOperator();
    const extproc = startExtproc();
    const envoy = startEnvoy();
    const tlsPort = ports[1] ?? 0;
    await until('TLS', () => serialOf(tlsPort));
    await extproc.untilPrinted('table.applied');
    const before = await serialOf(tlsPort);
    const client = new Http2Client(`https://localhost:${tlsPort}`);
    assert.equal(await client.chat('m').done, 200);
    await operator.end('SIGKILL');
    await extproc.end('SIGKILL');
    await startExtproc().untilPrinted('table.applied');
    await until('an answer', async () => (await client.chat('m').done) === 200);
    assert.equal(await serialOf(tlsPort), before);

    write('models.yaml', model('m', [pods[0]?.endpoint ?? '']), tlsSecret('gateway-tls', authority.issue()));
    startOperator();
    await until('the new certificate', async () => ![before, undefined].includes(await serialOf(tlsPort)));
    assert.equal(await client.chat('m').done, 200);
    assert.ok(client.alive, 'the connection was not closed');
    client.close();
    const listeners = await envoyStats(envoy.pid, '^listener_manager\\.listener_(added|modified|removed)$');
    assert.deepEqual(
      [...listeners],
      [
        ['listener_manager.listener_added', 2],
        ['listener_manager.listener_modified', 0],
        ['listener_manager.listener_removed', 0],
      ],
    );
  });
});
