import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { Cluster } from './cluster.ts';
import { Helm } from './helm.ts';

const NAMESPACE = 'serving';
const OPERATOR = `system:serviceaccount:${NAMESPACE}:fairlead-operator`;
const GATEWAY = `system:serviceaccount:${NAMESPACE}:fairlead-gateway`;
const ANYBODY = `system:serviceaccount:${NAMESPACE}:anybody`;

const OWN = 'fairlead-control-plane-tls';

suite("the chart's permissions", () => {
  let cluster: Cluster;
  let helm: Helm;
  let token: string;

  before(async () => {
    cluster = await Cluster.start();
    helm = new Helm(cluster.kubeconfig);
    for (const name of ['models', 'keys', 'other']) await cluster.kubectl(['create', 'namespace', name]);
    await helm.chart(['install', 'fairlead'], {}, ['--namespace', NAMESPACE, '--create-namespace']);
    token = (await cluster.kubectl(['create', 'token', 'fairlead-operator', '-n', NAMESPACE])).trim();
    const pod = { containers: [{ name: 'a', image: 'b' }], nodeName: 'nowhere', serviceAccountName: 'default' };
    for (const namespace of [NAMESPACE, 'models']) {
      const document = { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'pod', namespace }, spec: pod };
      await cluster.kubectl(['apply', '-f', '-'], JSON.stringify(document));
    }
    for (const namespace of [NAMESPACE, 'models', 'keys'])
      await cluster.kubectl(['create', 'secret', 'generic', 'key', '-n', namespace, '--from-literal=a=b']);
    for (const object of [
      declared('ModelDeployment', { backends: [{ name: 'a', endpoints: ['10.0.0.1:1'] }] }),
      declared('Consumer', { users: ['a'] }),
    ])
      await cluster.kubectl(['apply', '-f', '-'], JSON.stringify(object));
  });

  after(() => cluster?.stop());

  const declared = (kind: string, spec: object) => ({
    apiVersion: 'fairlead.dev/v1alpha1',
    kind,
    metadata: { name: 'm', namespace: 'models' },
    spec,
  });
  /** With the operator's own token, and nothing else. */
  const asOperator = (args: readonly string[], stdin?: object) =>
    cluster.kubectl(['--token', token, '--request-timeout=60s', ...args], stdin && JSON.stringify(stdin));
  const applyStatus = (body: object) =>
    asOperator(
      ['apply', '--server-side', '--subresource=status', '--validate=false', '--field-manager=fairlead', '-f', '-'],
      body,
    );

  /** All that an account may do in a namespace: "verb resource.group (name)". */
  const rules = async (account: string, namespace: string) => {
    const review = { apiVersion: 'authorization.k8s.io/v1', kind: 'SelfSubjectRulesReview', spec: { namespace } };
    const args = ['create', '--validate=false', '--as', account, '-f', '-', '-o', 'json'];
    const { status } = JSON.parse(await cluster.kubectl(args, JSON.stringify(review)));
    type Rule = Record<'verbs' | 'apiGroups' | 'resources' | 'resourceNames', string[]>;
    return (status.resourceRules as Rule[]).flatMap(({ verbs, apiGroups, resources, resourceNames = [''] }) =>
      verbs.flatMap(verb =>
        resources.flatMap(resource =>
          apiGroups.flatMap(group =>
            resourceNames.map(name => `${verb} ${resource}${group && `.${group}`}${name && ` ${name}`}`),
          ),
        ),
      ),
    );
  };
  const granted = async (account: string, namespace: string) => {
    const common = new Set(await rules(ANYBODY, namespace));
    return (await rules(account, namespace)).filter(rule => !common.has(rule)).sort();
  };

  const FOLLOW = [
    'create events.events.k8s.io',
    'create tokenreviews.authentication.k8s.io',
    ...['consumers.fairlead.dev', 'inferencegateways.fairlead.dev', 'modeldeployments.fairlead.dev', 'pods'].flatMap(
      resource => ['get', 'list', 'watch'].map(verb => `${verb} ${resource}`),
    ),
    'patch consumers/status.fairlead.dev',
    'patch inferencegateways/status.fairlead.dev',
    'patch modeldeployments/status.fairlead.dev',
  ];
  const OWNED = [
    'create leases.coordination.k8s.io',
    'get leases.coordination.k8s.io fairlead',
    'update leases.coordination.k8s.io fairlead',
    'patch pods',
    ...['configmaps', 'secrets'].flatMap(resource => [`get ${resource} ${OWN}`, `update ${resource} ${OWN}`]),
  ];

  test('the operator is granted this and nothing else', async () => {
    assert.deepEqual(await granted(OPERATOR, NAMESPACE), [...FOLLOW, ...OWNED].sort());
    assert.deepEqual(await granted(OPERATOR, 'models'), [...FOLLOW].sort());
  });

  test('a gateway is granted what anybody is', async () => {
    assert.deepEqual(await granted(GATEWAY, NAMESPACE), []);
  });

  test('with its own token the operator does what it has to', async () => {
    await asOperator(['get', 'pods,modeldeployments,inferencegateways,consumers', '--all-namespaces']);
    const accepted = {
      type: 'Accepted',
      status: 'True',
      reason: 'Accepted',
      message: '',
      lastTransitionTime: '2026-01-01T00:00:00Z',
    };
    for (const kind of ['ModelDeployment', 'Consumer']) {
      const { spec: _, ...written } = { ...declared(kind, {}), status: { conditions: [accepted] } };
      await applyStatus(written);
    }
    const lease = {
      apiVersion: 'coordination.k8s.io/v1',
      kind: 'Lease',
      metadata: { name: 'fairlead', namespace: NAMESPACE },
    };
    await asOperator(['create', '--validate=false', '-f', '-'], lease);
    await asOperator(['replace', '--validate=false', '-f', '-'], { ...lease, spec: { holderIdentity: 'a' } });
    await asOperator(['label', 'pod', 'pod', '-n', NAMESPACE, 'fairlead.dev/leader=true']);
    for (const kind of ['secret', 'configmap']) {
      const object = JSON.parse(await asOperator(['get', kind, OWN, '-n', NAMESPACE, '-o', 'json']));
      await asOperator(['replace', '--validate=false', '-f', '-'], { ...object, data: { 'ca.crt': 'YQ==' } });
    }
    const review = { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenReview', spec: { token } };
    const { status } = JSON.parse(await asOperator(['create', '--validate=false', '-f', '-', '-o', 'json'], review));
    assert.equal(status.user.username, OPERATOR);
    for (const kind of ['ModelDeployment', 'Consumer'])
      await asOperator(['create', '--validate=false', '-f', '-'], {
        apiVersion: 'events.k8s.io/v1',
        kind: 'Event',
        metadata: { name: kind.toLowerCase(), namespace: 'models' },
        eventTime: '2026-01-01T00:00:00.000000Z',
        reportingController: 'fairlead.dev/operator',
        reportingInstance: 'pod',
        action: 'Serve',
        reason: 'Accepted',
        type: 'Normal',
        regarding: { apiVersion: 'fairlead.dev/v1alpha1', kind, name: 'm', namespace: 'models' },
      });
  });

  for (const args of [
    ['get', 'secret', 'key', '-n', 'models'],
    ['get', 'secret', 'key', '-n', NAMESPACE],
    ['get', 'secrets', '-n', NAMESPACE],
    ['delete', 'secret', OWN, '-n', NAMESPACE],
    ['create', 'secret', 'generic', 'mine', '-n', NAMESPACE],
    ['get', 'configmaps', '-n', NAMESPACE],
    ['delete', 'pod', 'pod', '-n', NAMESPACE],
    ['label', 'pod', 'pod', '-n', 'models', 'a=b'],
    ['exec', 'pod', '-n', 'models', '--', 'true'],
    ['get', 'nodes'],
    ['get', 'deployments', '-n', NAMESPACE],
    ['get', 'leases', '-n', NAMESPACE],
    ['label', 'modeldeployment', 'm', '-n', 'models', 'a=b'],
    ['delete', 'modeldeployment', 'm', '-n', 'models'],
    ['label', 'consumer', 'm', '-n', 'models', 'a=b'],
    ['delete', 'consumer', 'm', '-n', 'models'],
    ['create', 'token', 'fairlead-gateway', '-n', NAMESPACE],
    [
      'create',
      'clusterrolebinding',
      'mine',
      '--clusterrole=cluster-admin',
      '--serviceaccount=serving:fairlead-operator',
    ],
  ]) {
    test(`with its own token the operator is refused: kubectl ${args.join(' ')}`, async () => {
      await assert.rejects(asOperator(args), /Forbidden|forbidden/);
    });
  }

  test('it reads the Secrets that the specification of the gateway names, by their names and once each', async () => {
    const spec = {
      listeners: [
        { name: 'http', port: 8888 },
        { name: 'https', port: 8443, tls: { secretRef: { name: 'key' } } },
      ],
      authentication: {
        mode: 'jwt',
        jwt: [
          { issuer: 'https://a.example', ca: { secretRef: { name: 'issuer-ca' } } },
          { issuer: 'https://b.example', ca: { secretRef: { name: 'own-ca' } } },
          { issuer: 'https://c.example' },
        ],
      },
      limits: { valkey: { secretRef: { name: 'password' }, ca: { secretRef: { name: 'own-ca' } } } },
    };
    // Made by somebody else, in whose place `spec` says what is in it.
    const values = { inferenceGateway: { create: false, spec } };
    await helm.chart(['upgrade', 'fairlead'], values, ['--namespace', NAMESPACE]);
    const named = ['issuer-ca', 'key', 'own-ca', 'password'].flatMap(name => [
      `list secrets ${name}`,
      `watch secrets ${name}`,
    ]);
    assert.deepEqual(await granted(OPERATOR, NAMESPACE), [...FOLLOW, ...OWNED, ...named].sort());
    assert.deepEqual(await granted(OPERATOR, 'models'), [...FOLLOW].sort());
    const list = ['get', 'secrets', '-n', NAMESPACE, '-o', 'name'];
    assert.equal(await asOperator([...list, '--field-selector=metadata.name=key']), 'secret/key\n');
    await assert.rejects(asOperator([...list, '--field-selector=metadata.name=other']), /forbidden/);
    await assert.rejects(asOperator(list), /forbidden/);
  });

  test('with namespaces listed, it sees these and its own, and Secrets where it is told', async () => {
    const values = { operator: { namespaces: ['models'] }, rbac: { secretNamespaces: ['keys'] } };
    await helm.chart(['upgrade', 'fairlead'], values, ['--namespace', NAMESPACE]);
    assert.deepEqual(await granted(OPERATOR, NAMESPACE), [...FOLLOW, ...OWNED].sort());
    assert.deepEqual(await granted(OPERATOR, 'models'), [...FOLLOW].sort());
    assert.deepEqual(await granted(OPERATOR, 'keys'), [
      'create tokenreviews.authentication.k8s.io',
      'list secrets',
      'watch secrets',
    ]);
    // As it asks for the key of a Consumer there, and for that of one whose namespace is not listed.
    const list = ['get', 'secrets', '-o', 'name', '--field-selector=metadata.name=key'];
    assert.equal(await asOperator([...list, '-n', 'keys']), 'secret/key\n');
    await assert.rejects(asOperator([...list, '-n', 'models']), /forbidden/);
    assert.deepEqual(await granted(OPERATOR, 'other'), ['create tokenreviews.authentication.k8s.io']);
  });
});
