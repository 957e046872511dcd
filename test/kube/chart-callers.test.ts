import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { suite, test } from 'node:test';
import { promisify } from 'node:util';
import { Helm, type Manifest, type Values } from './helm.ts';

const NAMESPACE = 'serving';

// Rendered only: what a cluster says of it is in chart.test.ts and chart-rbac.test.ts.
suite('the chart, where callers are known and limited', () => {
  const helm = new Helm('');

  const byKind = (objects: readonly Manifest[], kind: string) =>
    objects.find(object => object.kind === kind) as Manifest;

  test('what the specification of the gateway says is passed on as it is', async () => {
    const spec = {
      listeners: [{ name: 'http', port: 8888 }],
      admin: { port: 8889 },
      authentication: {
        mode: 'apiKeysOrJwt',
        jwt: [{ issuer: 'https://a.example', jwksUrl: 'https://a.example/keys', audiences: ['fairlead'] }],
      },
      anonymous: { limits: [{ requests: 10, per: 'minute', each: ['user'] }] },
      hideForbiddenModels: true,
      limits: { store: 'valkey', timeout: '20ms', valkey: { url: 'valkeys://v:6379/0', cluster: true }, rules: [] },
    };
    const objects = await helm.render(NAMESPACE, { inferenceGateway: { spec } });
    assert.deepEqual(byKind(objects, 'InferenceGateway').spec, spec);
  });

  test('usage records are written to the output, or to a file in a directory that can be written', async () => {
    const pod = async (usageRecords?: string) => {
      const values = usageRecords === undefined ? {} : { gateway: { usageRecords } };
      const { spec } = byKind(await helm.render(NAMESPACE, values), 'DaemonSet').spec.template;
      const [extproc] = spec.initContainers;
      return {
        options: extproc.args.filter((arg: string) => arg.startsWith('--usage-records')),
        mounts: extproc.volumeMounts.filter(({ name }: Values) => name === 'usage'),
        volumes: spec.volumes.filter(({ name }: Values) => name === 'usage'),
      };
    };
    assert.deepEqual(await pod(), { options: [], mounts: [], volumes: [] });
    assert.deepEqual(await pod('stdout'), { options: ['--usage-records=stdout'], mounts: [], volumes: [] });
    assert.deepEqual(await pod('/var/log/fairlead/usage.jsonl'), {
      options: ['--usage-records=/var/log/fairlead/usage.jsonl'],
      mounts: [{ name: 'usage', mountPath: '/var/log/fairlead' }],
      volumes: [{ name: 'usage', emptyDir: {} }],
    });
  });

  test('what goes out of the pods is not restricted: to models, Valkey, issuers', async () => {
    const policies = (await helm.render(NAMESPACE)).filter(({ kind }) => kind === 'NetworkPolicy');
    assert.deepEqual(
      policies.map(({ spec }) => spec.policyTypes),
      [['Ingress'], ['Ingress']],
    );
  });

  test('the notes say who may call, and how a key is made', async () => {
    const notes = async (inferenceGateway: Values) => {
      const args = ['--namespace', NAMESPACE, '--dry-run=client'];
      const said = await helm.chart(['install', 'fairlead'], { inferenceGateway }, args);
      return said.slice(said.indexOf('NOTES:'));
    };
    const mode = (mode: string) => notes({ spec: { authentication: { mode } } });
    const [open, keys, tokens, theirs] = [
      await notes({}),
      await mode('apiKeys'),
      await mode('jwt'),
      await notes({ create: false }),
    ];
    assert.match(open, /Anybody who reaches a gateway may call.*authentication\.mode/s);
    assert.match(keys, /exec deployment\/fairlead-operator -- fairlead keys new --consumer/);
    assert.match(tokens, /KEY is a token of one of the issuers/);
    for (const said of [keys, tokens]) {
      assert.match(said, /curl -H "authorization: Bearer \$KEY" http:/);
      assert.doesNotMatch(said, /Anybody/);
    }
    for (const said of [open, theirs]) assert.doesNotMatch(said, /KEY|keys new/);
    assert.doesNotMatch(theirs, /Anybody/);
  });

  test('helm test passes where callers are asked who they are', async () => {
    const gateway = createServer(({ url }, response) => response.writeHead(url === '/readyz' ? 200 : 401).end());
    await once(gateway.listen(0, '127.0.0.1'), 'listening');
    try {
      const [ask] = byKind(await helm.render(NAMESPACE), 'Pod').spec.containers;
      const { port } = gateway.address() as AddressInfo;
      const env = { ...process.env, GATEWAY: `http://127.0.0.1:${port}` };
      const [program, ...options] = ask.command;
      const { stdout } = await promisify(execFile)(program, [...options, ...ask.args], { env });
      assert.match(stdout, /GET \/v1\/models: 401/);
    } finally {
      gateway.close();
    }
  });
});
