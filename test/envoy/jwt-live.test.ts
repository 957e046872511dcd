import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { create } from '@bufbuild/protobuf';
import { bootstrap } from '../../agent/envoy/bootstrap.ts';
import { sampleTable } from '../../agent/envoy/sample-table.fixture.ts';
import { EnvoyServer } from '../../agent/envoy-server.ts';
import { routeProfile } from '../../agent/table/route-profile.ts';
import type { RouteTable } from '../../agent/table/route-table.ts';
import type { BootstrapJson } from '../../proto/gen/envoy/config/bootstrap/v3/bootstrap_pb.js';
import { AuthenticationMode, AuthenticationSchema } from '../../proto/gen/fairlead/v1/table_pb.js';
import { Authority } from '../e2e/harness/certificates.ts';
import { freePorts } from '../e2e/harness/free-ports.ts';
import { ask } from './exchange.ts';
import { ScriptedExtproc } from './scripted-extproc.ts';
import { StaticEnvoy } from './static-envoy.ts';
import { signingKey, TokenIssuer } from './token-issuer.ts';

const { AUTHENTICATION_NONE, AUTHENTICATION_JWT, AUTHENTICATION_API_KEYS } = AuthenticationMode;

/** The same Envoy with an agent to ask in place of a file with everything. */
function askingAgent(agentSocket: string): (configuration: BootstrapJson) => void {
  const settings = { nodeId: 'test', agentSocket, extprocSocket: '', admin: '/', maxHeapBytes: 0 };
  const { dynamicResources, staticResources } = bootstrap(settings);
  const agent = staticResources?.clusters?.[0] ?? assert.fail();
  return configuration => {
    const [, extproc = assert.fail(), log = assert.fail()] = configuration.staticResources?.clusters ?? [];
    if (dynamicResources) configuration.dynamicResources = dynamicResources;
    configuration.staticResources = { clusters: [agent, extproc, log] };
  };
}

test('a gateway that begins to ask for tokens takes good ones at once, and goes on while the authority of their keys changes or is gone', async t => {
  const directory = await mkdtemp(join(tmpdir(), 'fairlead-live-'));
  t.after(() => rm(directory, { recursive: true, force: true }));
  const stopped = new AbortController();
  t.after(() => stopped.abort());
  const pod = createServer((request, response) => request.resume().on('end', () => response.end('{}')));
  pod.listen(0, '127.0.0.1');
  await once(pod, 'listening');
  t.after(() => {
    pod.closeAllConnections();
    pod.close();
  });
  const candidates = [`127.0.0.1:${(pod.address() as AddressInfo).port}`];
  const models = { 'ml/llama': { backends: { main: [[candidates[0] ?? '', 'pod-0'] as const] } } };

  const authority = new Authority();
  t.after(() => authority.remove());
  const issuer = new TokenIssuer('https://issuer.example/', await signingKey('k1'));
  const jwksUrl = `https://localhost:${await issuer.listen(0, authority.issue())}/keys`;
  t.after(() => issuer.close());
  const jwtIssuers = [{ name: 'jwt-0', issuer: issuer.name, jwksUrl, ca: { secret: 'ml/ca', key: 'ca.crt' } }];

  const [port = 0] = await freePorts(1);
  const listeners = [{ name: 'http', address: '127.0.0.1', port }];
  const tableWith = (version: string, mode: AuthenticationMode, ca?: string): RouteTable => ({
    ...sampleTable(
      models,
      { listeners, authentication: create(AuthenticationSchema, { mode, jwtIssuers }) },
      ca === undefined ? {} : { 'ml/ca': { 'ca.crt': ca } },
    ),
    version,
  });
  const open = tableWith('1', AUTHENTICATION_NONE);

  const agentSocket = join(directory, 'agent.sock');
  const server = new EnvoyServer('test', { accessLogPath: '/dev/null' }, () => undefined);
  await server.apply(open, [], stopped.signal);
  await server.listen(agentSocket, stopped.signal);
  const envoy = await StaticEnvoy.start({ edit: askingAgent(agentSocket) });
  t.after(() => envoy.stop());
  const extproc = new ScriptedExtproc();
  await extproc.listen(envoy.extprocSocket);
  t.after(() => extproc.close());
  const [model = assert.fail()] = open.models.values();
  extproc.script = { cluster: 'ml/llama', profile: routeProfile(model), candidates };

  /** Status of a request with that token, and the issuers whose claims were shown. */
  const send = async (token: string) => {
    extproc.jwt = undefined;
    const headers = { 'content-type': 'application/json', authorization: `Bearer ${token}` };
    const { status } = await ask(port, { path: '/v1/chat/completions', body: '{}', headers });
    return [status, ...Object.keys(extproc.jwt ?? {})];
  };
  const follow = async (table: RouteTable) => {
    await server.apply(table, [], stopped.signal);
    assert.deepEqual([server.ready, server.refused], [true, []]);
  };

  const good = await issuer.token();
  assert.deepEqual(await send(good), [200]);
  const asking = tableWith('2', AUTHENTICATION_JWT, authority.certificate);
  await follow(asking);
  assert.deepEqual(await send(good), [200, 'jwt-0']);
  assert.deepEqual(await send('eyJ'), [401]);
  await follow({ ...asking, version: '3', secrets: new Map() });
  assert.deepEqual(await send(good), [200, 'jwt-0']);
  const other = new Authority();
  other.remove();
  const renewed = tableWith('4', AUTHENTICATION_JWT, `${other.certificate}${authority.certificate}`);
  await follow({ ...asking, version: '4', secrets: renewed.secrets });
  assert.deepEqual(await send(good), [200, 'jwt-0']);
  await follow(tableWith('5', AUTHENTICATION_API_KEYS));
  assert.deepEqual(await send(good), [200]);
});
