import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, type TestContext, test } from 'node:test';
import { stripVTControlCharacters } from 'node:util';
import { stringify } from 'yaml';
import { Authority, type KeyPair, tlsSecret } from '../test/e2e/harness/certificates.ts';
import { problemText } from './problem-report.ts';
import { validate } from './validate.ts';

const model = (name: string, backends: string, more = '') => `---
apiVersion: fairlead.dev/v1alpha1
kind: ModelDeployment
metadata: {name: ${name}}
spec:
  aliases: [turbo]
  backends:
    - ${backends}
${more}`;
const STATIC = '{name: a, runtime: vllm, endpoints: ["10.0.0.1:80"]}';
const SELECTED = '{name: a, pods: {selector: {matchLabels: {app: x}}, port: 80}}';

/** Writes the files, validates their directory, and shows paths without it. */
async function validated(t: TestContext, files: Record<string, string>, output: 'text' | 'json' = 'text') {
  const directory = await mkdtemp(join(tmpdir(), 'fairlead-validate-'));
  t.after(() => rm(directory, { recursive: true, force: true }));
  for (const [name, text] of Object.entries(files)) await writeFile(join(directory, name), text);
  let written = '';
  const code = await validate([directory], {
    output,
    out: { write: text => (written += text) },
    err: { write: assert.fail },
    resolveHost: async () => Promise.reject(Object.assign(new Error(), { code: 'ENOTFOUND' })),
  });
  return { code, written: written.replaceAll(`${directory}/`, '').replaceAll(directory, 'DIR') };
}

describe('validate', () => {
  test('what is right is counted, and passes', async t => {
    const { code, written } = await validated(t, { 'a.yaml': model('a', STATIC) });
    assert.equal(written, '1 ModelDeployment, 0 InferenceGateways: no problems\n');
    assert.equal(code, 0);
  });

  test('errors come with file, line, column, field and the nearest right name, and fail', async t => {
    const { code, written } = await validated(t, { 'a.yaml': model('a', STATIC, '  aliasses: []\n') });
    assert.equal(
      written,
      'a.yaml:9:3: error: spec.aliasses: unknown field `aliasses`; did you mean `aliases`?\n' +
        '0 ModelDeployments, 0 InferenceGateways: 1 error\n',
    );
    assert.equal(code, 1);
  });

  test('a gateway that cannot be read lets nobody call, and says so', async t => {
    const broken =
      'apiVersion: fairlead.dev/v1alpha1\nkind: InferenceGateway\nmetadata: {name: g}\nspec: {authentication: {mode: apikeys}}\n';
    const { written } = await validated(t, { 'a.yaml': broken });
    assert.match(written, /a\.yaml:1:1: warning: nobody may call until the InferenceGateway default\/g can be read/);
    assert.match(written, /: 1 error, 1 warning\n$/);
  });

  test('a budget in files for a cluster wants a store that lasts', async t => {
    const consumer =
      'apiVersion: fairlead.dev/v1alpha1\nkind: Consumer\nmetadata: {name: c}\nspec:\n  budget: {amount: "1", currency: EUR, period: day}\n';
    const gateway =
      'apiVersion: fairlead.dev/v1alpha1\nkind: InferenceGateway\nmetadata: {name: g}\nspec: {limits: {store: valkey, valkey: {url: "valkey://v:6379"}}}\n';
    const pod = 'apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nstatus: {podIP: 10.0.0.1}\n';
    const { code, written } = await validated(t, { 'a.yaml': consumer });
    assert.match(written, /^a\.yaml:5:3: warning: spec\.budget: in a cluster a budget needs a store/m);
    assert.equal(code, 0);
    for (const more of [gateway, pod]) {
      const { written } = await validated(t, { 'a.yaml': consumer, 'b.yaml': more });
      assert.doesNotMatch(written, /in a cluster/);
    }
  });

  test('warnings are told at the field in question, and pass', async t => {
    const second = '\n    - {name: b, runtime: sglang, endpoints: ["10.0.0.2:80", "gone:80"]}\n';
    const { code, written } = await validated(t, {
      'a.yaml': model('a', STATIC + second),
      'b.yaml': 'apiVersion: v1\nkind: Service\n',
    });
    assert.equal(
      written,
      'a.yaml:9:26: warning: spec.backends[1].runtime: runtime sglang, while backend a runs vllm: answers may differ in form\n' +
        'a.yaml:9:61: warning: spec.backends[1].endpoints[1]: `gone:80` is left out: gone is not a known host name (ENOTFOUND)\n' +
        'b.yaml:1:1: ignored: v1 Service is not read by Fairlead\n' +
        '1 ModelDeployment, 0 InferenceGateways: 2 warnings, 1 ignored\n',
    );
    assert.equal(code, 0);
  });

  test('a name claimed twice is an error of the younger', async t => {
    const aged = (name: string, year: number) =>
      model(name, STATIC).replace(`{name: ${name}}`, `{name: ${name}, creationTimestamp: "${year}-01-01T00:00:00Z"}`);
    const { code, written } = await validated(t, { 'a.yaml': aged('a', 2026), 'b.yaml': aged('b', 2025) });
    assert.equal(
      written.split('\n')[0],
      'a.yaml:2:1: error: not served: alias "turbo" is taken by default/b since 2025-01-01T00:00:00.000Z',
    );
    assert.equal(code, 1);
  });

  test('selectors that match nothing are told where pods are known, and are the business of the cluster where none are', async t => {
    const a = model('a', SELECTED);
    assert.match((await validated(t, { 'a.yaml': a })).written, /no problems/);
    const pod = 'apiVersion: v1\nkind: Pod\nmetadata: {name: p, labels: {app: y}}\n';
    const { written } = await validated(t, { 'a.yaml': a, 'p.yaml': pod });
    assert.equal(
      written.split('\n')[0],
      'a.yaml:8:24: warning: spec.backends[0].pods.selector: backend a has no endpoint: selector app=x matches no pods in namespace default',
    );
  });

  test('for programs it is JSON', async t => {
    const { code, written } = await validated(t, { 'a.yaml': model('a', STATIC, '  slo: {}\n') }, 'json');
    assert.deepEqual(JSON.parse(written), {
      valid: false,
      modelDeployments: 0,
      inferenceGateways: 0,
      consumers: 0,
      pods: 0,
      problems: [
        {
          severity: 'error',
          file: 'a.yaml',
          line: 9,
          column: 3,
          resource: 'ModelDeployment default/a',
          path: 'spec.slo',
          message: '`slo` is not served by this version of Fairlead',
        },
      ],
    });
    assert.equal(code, 1);
  });

  test('consumers are counted, and what is wrong with one is told at its field, keys not shown', async t => {
    const alice = (spec: string) => `apiVersion: fairlead.dev/v1alpha1
kind: Consumer
metadata: {name: alice}
spec:
${spec}`;
    const right = await validated(t, { 'a.yaml': model('a', STATIC), 'c.yaml': alice('  models: [turbo]\n') });
    assert.equal(right.written, '1 ModelDeployment, 0 InferenceGateways, 1 Consumer: no problems\n');
    const wrong = await validated(t, {
      'c.yaml': alice(`  apiKeys:
    - sha256: fl-Zm9yLXRlc3RzLW9ubHktbm90LWEta2V5
  limits:
    - {requests: 100, per: minute}
    - {requests: 5}
  budget: {amount: 100.00, currency: EUR, period: month}
`),
    });
    assert.equal(
      wrong.written,
      'c.yaml:6:15: error: spec.apiKeys[0].sha256: this looks like a key: keep it secret and run `fairlead keys new`, which prints its digest\n' +
        'c.yaml:9:7: error: spec.limits[1]: needs `per`: expected one of `second`, `minute`, `hour`, `day` or `month`\n' +
        'c.yaml:10:20: error: spec.budget.amount: expected an amount as a string such as `"0.10"`, with at most six decimals, got `100`; did you mean `"100"`?\n' +
        '0 ModelDeployments, 0 InferenceGateways: 3 errors\n',
    );
    assert.equal(wrong.code, 1);
  });

  test('Secrets with keys and passwords that are missing are errors, unless the files are meant for a cluster', async t => {
    const declared = `apiVersion: fairlead.dev/v1alpha1
kind: InferenceGateway
metadata: {name: g}
spec:
  authentication: {mode: apiKeys}
  limits:
    store: valkey
    valkey: {url: "valkey://v:6379", secretRef: {name: store}}
---
apiVersion: fairlead.dev/v1alpha1
kind: Consumer
metadata: {name: alice}
spec:
  apiKeys: [{secretRef: {name: key}}]
`;
    const told = (severity: string) => [
      `c.yaml:8:38: ${severity}: spec.limits.valkey.secretRef: password of the limit store: secret default/store: not found`,
      `c.yaml:14:3: ${severity}: spec.apiKeys: spec.apiKeys[0]: secret default/key: not found; nobody gets in by this key until then`,
    ];
    const cluster = await validated(t, { 'c.yaml': declared });
    assert.deepEqual([cluster.code, cluster.written.split('\n').slice(0, 2)], [0, told('warning')]);
    const here = await validated(t, {
      'c.yaml': declared,
      'p.yaml': 'apiVersion: v1\nkind: Pod\nmetadata: {name: p}\n',
    });
    assert.deepEqual([here.code, here.written.split('\n').slice(0, 2)], [1, told('error')]);
  });

  test('a path that does not exist is a wrong call', async () => {
    let written = '';
    const err = { write: (text: string) => (written += text) };
    for (const output of ['text', 'json'] as const) {
      written = '';
      assert.equal(await validate(['/nowhere/at/all'], { output, out: { write: assert.fail }, err }), 2);
      assert.equal(written, 'fairlead: no such file or directory: /nowhere/at/all\n');
    }
  });

  test('an empty directory is suspicious', async t => {
    const { code, written } = await validated(t, {});
    assert.match(written, /^DIR: warning: no .yaml, .yml or .json file there\n/);
    assert.equal(code, 0);
  });

  test('the examples are without a problem', async () => {
    let written = '';
    const out = { write: (text: string) => (written += text) };
    const examples = join(import.meta.dirname, '..', 'examples', 'local');
    assert.equal(await validate([examples], { output: 'text', out, err: { write: assert.fail } }), 0);
    assert.match(written, /^3 ModelDeployments, 1 InferenceGateway, \d+ Pods: no problems\n$/);
  });
});

test('colours are for terminals only, and change nothing else', () => {
  const problem = {
    severity: 'error',
    file: 'a.yaml',
    line: 1,
    column: 2,
    resource: '',
    path: 'spec',
    message: 'm',
  } as const;
  const plain = problemText([problem], false);
  assert.equal(plain, 'a.yaml:1:2: error: spec: m\n');
  const coloured = problemText([problem], true);
  assert.notEqual(coloured, plain);
  assert.equal(stripVTControlCharacters(coloured), plain);
});

describe('validate with TLS', () => {
  const authority = new Authority();
  after(() => authority.remove());
  const gateway = `apiVersion: fairlead.dev/v1alpha1
kind: InferenceGateway
metadata: {name: default}
spec:
  listeners:
    - name: https
      port: 8443
      tls: {secretRef: {name: gateway-tls}}
`;
  const POD = 'apiVersion: v1\nkind: Pod\nmetadata: {name: p}\n';
  const withSecret = (pair: KeyPair) => ({ 'g.yaml': gateway, 's.yaml': stringify(tlsSecret('gateway-tls', pair)) });
  const at = 'g.yaml:8:31';
  const field = 'spec.listeners[0].tls.secretRef.name';

  test('a good certificate passes', async t => {
    const { code, written } = await validated(t, withSecret(authority.issue()));
    assert.equal(written, '0 ModelDeployments, 1 InferenceGateway: no problems\n');
    assert.equal(code, 0);
  });

  test('a secret that is missing is an error, unless the files are meant for a cluster', async t => {
    const here = await validated(t, { 'g.yaml': gateway, 'p.yaml': POD });
    assert.ok(here.written.startsWith(`${at}: error: ${field}: secret default/gateway-tls: not found\n`), here.written);
    assert.equal(here.code, 1);
    const cluster = await validated(t, { 'g.yaml': gateway });
    assert.ok(cluster.written.startsWith(`${at}: warning: ${field}: secret default/gateway-tls: not found\n`));
    assert.equal(cluster.code, 0);
  });

  test('a key of another certificate is an error, one that has expired a warning', async t => {
    const { certificate } = authority.issue();
    const mixed = await validated(t, withSecret({ certificate, key: authority.issue().key }));
    assert.match(
      mixed.written,
      /^g\.yaml:8:31: error: .*: the certificate in "tls.crt" does not match the key in "tls.key"\n/,
    );
    assert.equal(mixed.code, 1);
    const expired = await validated(t, withSecret(authority.issue({ days: -1 })));
    assert.match(
      expired.written,
      /^g\.yaml:8:31: warning: .*: the certificate in secret default\/gateway-tls has expired on 20/,
    );
    assert.equal(expired.code, 0);
  });
});
