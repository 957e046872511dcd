import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect as connectTcp } from 'node:net';
import { test } from 'node:test';
import { connect } from 'node:tls';
import { credentials } from '@grpc/grpc-js';
import { atomic } from '../../xds/atomic-order.ts';
import { DeltaClient } from '../../xds/delta-client.ts';
import { DeltaServer } from '../../xds/delta-server.ts';
import { createGrpcServer, listenGrpc } from '../../xds/grpc-listen.ts';
import { CertificateSource } from './certificate-source.ts';
import { issueAuthority, issueServerCertificate } from './issue.ts';
import { grpcServerCredentials } from './server-credentials.ts';

const V = 't/V';

test('a stream keeps its connection while the certificate changes; a new connection sees the new one', async t => {
  const authority = await issueAuthority(Date.now());
  const issue = async () => {
    const { certificate, key } = await issueServerCertificate(authority, ['localhost'], Date.now());
    return { certificate, key };
  };
  const source = new CertificateSource(await issue());
  const ads = new DeltaServer({ order: atomic({ types: [], completedBy: V }) });
  const failed = Promise.withResolvers<string>();
  const grpc = createGrpcServer({
    authenticate: async () => ({ objection: () => undefined }),
    onFailedHandshake: (peer, reason) => {
      if (reason.startsWith('ERR_SSL_')) failed.resolve(peer);
    },
  });
  ads.addTo(grpc);
  const stopped = new AbortController();
  const { address, closed } = await listenGrpc(grpc, '127.0.0.1:0', stopped.signal, grpcServerCredentials(source));
  t.after(async () => {
    stopped.abort();
    ads.close();
    await closed;
  });
  const port = Number(address.split(':')[1]);
  const seen = async () => {
    const socket = connect({
      port,
      host: '127.0.0.1',
      servername: 'localhost',
      ca: authority.certificate,
      ALPNProtocols: ['h2'],
    });
    await once(socket, 'secureConnect');
    const certificate = socket.getPeerX509Certificate()?.toString();
    const protocol = socket.getProtocol();
    socket.destroy();
    return { certificate, protocol };
  };

  const told: boolean[] = [];
  let version = '';
  let more = Promise.withResolvers<void>();
  new DeltaClient({
    address: `localhost:${port}`,
    nodeId: 'node',
    types: [V],
    signal: stopped.signal,
    credentials: () => credentials.createSsl(Buffer.from(authority.certificate)),
    apply: update => {
      version = update.systemVersion;
      more.resolve();
      more = Promise.withResolvers();
      return undefined;
    },
    onConnection: connected => told.push(connected),
  });
  const publish = async (next: string) => {
    ads.update({
      systemVersion: next,
      upserts: [{ typeUrl: V, name: 'v', version: next, body: new Uint8Array() }],
      removals: [],
    });
    while (version !== next) await more.promise;
  };
  await publish('1');
  const first = source.current;
  assert.deepEqual(await seen(), { certificate: first.certificate, protocol: 'TLSv1.3' });
  source.replace(await issue());
  assert.deepEqual(await seen(), { certificate: source.current.certificate, protocol: 'TLSv1.3' });
  assert.notEqual(source.current.certificate, first.certificate);
  await publish('2');
  assert.deepEqual(told, [true]);

  const plain = connectTcp(port, '127.0.0.1');
  plain.on('error', () => {});
  plain.end('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
  await failed.promise;
});
