import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { parse, parseAllDocuments } from 'yaml';
import { METRICS } from '../../telemetry/metric-list.ts';
import { Cluster } from './cluster.ts';
import { Helm, type Manifest, type Values } from './helm.ts';

const ROOT = join(import.meta.dirname, '..', '..');
const CHART = join(ROOT, 'charts', 'fairlead');
const EXAMPLES = join(ROOT, 'examples', 'kubernetes');
const NAMESPACE = 'serving';

const read = (...path: readonly string[]) => readFileSync(join(CHART, ...path), 'utf8');

/** Every option away from its default, as far as one release can have them together. */
const EVERYTHING: Values = {
  mode: 'deployment',
  autoscaling: { enabled: true, minReplicas: 3, behavior: { scaleDown: { stabilizationWindowSeconds: 600 } } },
  nameOverride: 'inference',
  image: {
    repository: 'registry.example/fairlead',
    digest: `sha256:${'0'.repeat(64)}`,
    pullSecrets: [{ name: 'pull' }],
  },
  inferenceGateway: {
    name: 'front',
    spec: {
      listeners: [
        { name: 'http', port: 80 },
        { name: 'internal-callers-only', port: 8080 },
      ],
      admin: { port: 9000, endpointLabels: true },
      authentication: {
        mode: 'apiKeysOrJwt',
        jwt: [
          {
            issuer: 'https://id.example.com',
            jwksUrl: 'https://id.example.com/keys',
            audiences: ['fairlead'],
            consumerClaim: 'org.team',
            ca: { secretRef: { name: 'issuer-ca' } },
          },
        ],
      },
      hideForbiddenModels: true,
      limits: {
        store: 'valkey',
        timeout: '50ms',
        onStoreFailure: 'deny',
        valkey: {
          url: 'valkeys://valkey.example.com:6379/1',
          username: 'fairlead',
          secretRef: { name: 'valkey' },
          ca: { secretRef: { name: 'valkey-ca', key: 'ca.pem' } },
          cluster: true,
        },
        rules: [{ tokens: 1_000_000, per: 'minute', each: ['model'] }],
      },
      validation: 'strict',
    },
  },
  operator: { ...placed('operator'), replicas: 3, namespaces: ['models'], logLevel: 'debug' },
  gateway: {
    ...placed('gateway'),
    usageRecords: '/var/log/fairlead/usage.jsonl',
    drain: { timeoutSeconds: 60, minAcceptSeconds: 0 },
    rollout: 2,
    hostPort: true,
    service: {
      type: 'LoadBalancer',
      port: 443,
      annotations: { a: 'b' },
      labels: { c: 'd' },
      internalTrafficPolicy: 'Local',
      externalTrafficPolicy: 'Local',
      trafficDistribution: 'PreferClose',
      sessionAffinity: 'ClientIP',
      loadBalancerClass: 'example.com/lb',
      loadBalancerSourceRanges: ['10.0.0.0/8'],
    },
  },
  serviceAccount: { operator: { name: 'brain', annotations: { e: 'f' } }, gateway: { name: 'hand' } },
  rbac: { secretNamespaces: ['keys'] },
  networkPolicy: { adminFrom: [{ namespaceSelector: { matchLabels: { team: 'metrics' } } }] },
  podDisruptionBudget: { maxUnavailable: '10%' },
  dashboard: { enabled: true },
};

function placed(component: string): Values {
  return {
    nodeSelector: { role: component },
    tolerations: [{ key: 'gpu', operator: 'Exists' }],
    affinity: { nodeAffinity: { preferredDuringSchedulingIgnoredDuringExecution: [] } },
    topologySpreadConstraints: [
      {
        maxSkew: 1,
        topologyKey: 'zone',
        whenUnsatisfiable: 'ScheduleAnyway',
        labelSelector: { matchLabels: { 'app.kubernetes.io/component': component } },
      },
    ],
    priorityClassName: 'system-cluster-critical',
    podAnnotations: { g: 'h' },
    podLabels: { i: 'j' },
  };
}

/** Listeners `l0`, `l1`, … on these ports. */
function listening(ports: readonly number[], adminPort = 8889): Values {
  const listeners = ports.map((port, index) => ({ name: `l${index}`, port }));
  return { inferenceGateway: { spec: { listeners, admin: { port: adminPort } } } };
}

/** Names that YAML would take for numbers and truth values. */
const ODD_NAMES: Values = {
  mode: 'deployment',
  nameOverride: '123',
  fullnameOverride: '1e3',
  image: { repository: '12', tag: '34' },
  inferenceGateway: {
    name: 'on',
    spec: { listeners: [{ name: 'on', port: 8443, tls: { secretRef: { name: '007' } } }] },
  },
  operator: { namespaces: ['12'], priorityClassName: '12' },
  gateway: {
    priorityClassName: '12',
    podLabels: { on: 'off' },
    service: { type: 'LoadBalancer', loadBalancerClass: '12' },
  },
  serviceAccount: { operator: { name: '1' }, gateway: { name: 'off' } },
  rbac: { secretNamespaces: ['12'] },
  dashboard: { enabled: true },
};

/** Values that have to be refused, and what Helm says of them. */
const WRONG: readonly [values: Values, said: RegExp][] = [
  [{ mode: 'statefulset' }, /mode.*'daemonset', 'deployment'/s],
  [{ replica: 3 }, /'replica' not allowed/],
  [{ gateway: { drian: {} } }, /'drian' not allowed/],
  [{ gateway: { drain: { timeoutSeconds: '15m' } } }, /timeoutSeconds.*want integer/s],
  [{ gateway: { drain: { timeoutSeconds: 5 } } }, /minAcceptSeconds must be less than/],
  [{ gateway: { rollout: '0%' } }, /rollout/],
  [{ gateway: { usageRecords: 'stderr' } }, /usageRecords/],
  [{ gateway: { usageRecords: '/run/fairlead/usage.jsonl' } }, /usageRecords/],
  [{ gateway: { usageRecords: '/var/log/fairlead/../usage.jsonl' } }, /usageRecords/],
  [{ gateway: { service: { port: 70_000 } } }, /port/],
  [{ image: { repository: 'fairlead@sha256:0' } }, /repository/],
  [{ image: { digest: 'sha256:short' } }, /digest/],
  [{ operator: { replicas: 0 } }, /replicas/],
  [{ operator: { namespaces: ['Not_One'] } }, /namespaces/],
  [{ inferenceGateway: { spec: { listeners: [] } } }, /listeners/],
  [{ inferenceGateway: { spec: { limits: { valkey: { secretRef: {} } } } } }, /valkey.*missing property 'name'/s],
  [{ inferenceGateway: { spec: { authentication: { jwt: [{ ca: {} }] } } } }, /missing property 'secretRef'/],
  [{ fullnameOverride: 'x'.repeat(41) }, /fullnameOverride/],
  [{ operator: { podLabels: { 'fairlead.dev/leader': 'true' } } }, /podLabels.*false schema/],
  [{ gateway: { podLabels: { 'app.kubernetes.io/component': 'x' } } }, /podLabels.*false schema/],
  [{ gateway: { service: { labels: { 'app.kubernetes.io/name': 'x' } } } }, /service.labels.*false schema/],
  [listening([18_002]), /the port of the listener l0 must not be 18002/],
  [listening([8888], 18_002), /admin.port must not be 18002/],
  [listening([8888, 8889]), /the port of the listener l1, 8889, is taken by inferenceGateway.spec.admin.port/],
  [{ ...listening([8443, 443]), gateway: { service: { port: 443 } } }, /l1 in the Service, 443, is taken by .* l0/],
  [{ gateway: { service: { externalTrafficPolicy: 'Local' } } }, /externalTrafficPolicy needs/],
  [{ gateway: { service: { type: 'NodePort', loadBalancerClass: 'x' } } }, /loadBalancerClass needs/],
  [{ gateway: { service: { loadBalancerSourceRanges: ['10.0.0.0/8'] } } }, /loadBalancerSourceRanges needs/],
  [{ autoscaling: { enabled: true, minReplicas: 11 } }, /minReplicas must not be greater/],
];

suite('the chart', () => {
  let cluster: Cluster;
  let helm: Helm;

  before(async () => {
    cluster = await Cluster.start();
    helm = new Helm(cluster.kubeconfig);
    await cluster.kubectl(['apply', '-f', join(CHART, 'crds')]);
    await cluster.kubectl(['wait', '--for=condition=Established', 'crd', '--all']);
    for (const name of [NAMESPACE, 'models', 'keys', 'callers']) await cluster.kubectl(['create', 'namespace', name]);
    // Nothing that these pods may not do under the strictest of Kubernetes' own rules.
    const strict = ['enforce', 'warn'].map(mode => `pod-security.kubernetes.io/${mode}=restricted`);
    await cluster.kubectl(['label', 'namespace', NAMESPACE, ...strict]);
  });

  after(() => cluster?.stop());

  const tryOut = (objects: readonly Manifest[]) =>
    cluster.kubectl(
      ['apply', '--dry-run=server', '--validate=strict', '-f', '-'],
      objects.map(object => JSON.stringify(object)).join('\n---\n'),
    );
  /** A pod as the controller would make it, since rules on pods are not asked about a Deployment. */
  const podOf = ({ metadata, spec }: Manifest): Manifest => ({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: metadata.name, namespace: NAMESPACE, ...spec.template.metadata },
    spec: spec.template.spec,
  });
  const byKind = (objects: readonly Manifest[], kind: string, name = '') =>
    objects.find(object => object.kind === kind && object.metadata.name.endsWith(name)) as Manifest;

  test('passes the strict linter, in both modes', async () => {
    await helm.chart(['lint', '--strict']);
    await helm.chart(['lint', '--strict'], EVERYTHING);
  });

  for (const [what, values] of Object.entries({
    'as it comes': {},
    'as a deployment': { mode: 'deployment' },
    'with TLS': parse(readFileSync(join(EXAMPLES, 'values-tls.yaml'), 'utf8')),
    'with keys': parse(readFileSync(join(EXAMPLES, 'values-keys.yaml'), 'utf8')),
    'with allowances for callers without a name': {
      inferenceGateway: { spec: { anonymous: { limits: [{ requests: 10, per: 'minute' }] }, limits: { rules: [] } } },
    },
    'with everything set': EVERYTHING,
    'with everything off': {
      inferenceGateway: { create: false },
      networkPolicy: { enabled: false },
      podDisruptionBudget: { enabled: false },
    },
  })) {
    test(`${what}: the API server accepts every object, and the restricted pod security standard the pods`, async () => {
      const objects = await helm.render(NAMESPACE, values);
      await tryOut(objects);
      const pods = objects.filter(({ kind }) => kind === 'Deployment' || kind === 'DaemonSet').map(podOf);
      assert.equal(pods.length, 2);
      // Ports of the node are what that standard forbids.
      for (const { ports } of pods.flatMap(({ spec }) => spec.containers))
        for (const port of ports) delete port.hostPort;
      await tryOut(pods);
    });
  }

  test('names that look like numbers or truth values are names all the same', async () => {
    const [namespace, release] = ['2025', '2024'];
    for (const name of [namespace, '12']) await cluster.kubectl(['create', 'namespace', name]);
    const objects = await helm.render(namespace, ODD_NAMES, release);
    for (const { metadata } of objects) assert.equal(metadata.labels?.['app.kubernetes.io/instance'], release);
    assert.equal(byKind(objects, 'InferenceGateway').metadata.name, 'on');
    await tryOut(objects);
    await tryOut(await helm.render(namespace, { fullnameOverride: 'on' }, release));
    const monitors = (await helm.render(namespace, { podMonitor: { enabled: true } }, release)).slice(-2);
    for (const { metadata } of monitors) assert.equal(typeof metadata.namespace, 'string');
  });

  for (const [values, said] of WRONG) {
    test(`${JSON.stringify(values)} is refused`, async () => {
      await assert.rejects(helm.chart(['template', 'fairlead'], values), said);
    });
  }

  test('a field that an InferenceGateway does not have is refused at the installation', async () => {
    const values = { inferenceGateway: { spec: { listeners: [{ name: 'http', port: 8888 }], maxBodyByte: 1 } } };
    await assert.rejects(helm.chart(['install', 'wrong'], values, ['--namespace', NAMESPACE]), /maxBodyByte/);
  });

  for (const file of ['model.yaml', 'vllm.yaml']) {
    test(`${file} of the examples is accepted, its pods too`, async () => {
      const text = readFileSync(join(EXAMPLES, file), 'utf8');
      const objects = parseAllDocuments(text).map(document => document.toJS() as Manifest);
      await cluster.kubectl(['apply', '-n', NAMESPACE, '--dry-run=server', '--validate=strict', '-f', '-'], text);
      await tryOut(objects.filter(({ kind }) => kind === 'Deployment').map(podOf));
      const { metadata, spec } = byKind(objects, 'Deployment').spec.template;
      const [{ pods }] = byKind(objects, 'ModelDeployment').spec.backends;
      assert.deepEqual(pods.selector.matchLabels, metadata.labels);
      assert.equal(pods.port, spec.containers[0].ports[0].containerPort);
    });
  }

  test('consumers.yaml of the examples is accepted, and the operator may read the keys in Secrets that it names', async () => {
    const text = readFileSync(join(EXAMPLES, 'consumers.yaml'), 'utf8');
    await cluster.kubectl(['apply', '--dry-run=server', '--validate=strict', '-f', '-'], text);
    const consumers = parseAllDocuments(text).map(document => document.toJS() as Manifest);
    const naming = consumers.filter(({ spec }) => spec.apiKeys.some(({ secretRef }: Values) => secretRef));
    const { rbac } = parse(readFileSync(join(EXAMPLES, 'values-keys.yaml'), 'utf8'));
    assert.deepEqual([...new Set(naming.map(({ metadata }) => metadata.namespace))], rbac.secretNamespaces);
  });

  test('ports of containers, probes, Service and NetworkPolicy are those of the InferenceGateway', async () => {
    const objects = await helm.render(NAMESPACE, EVERYTHING);
    const { containers, initContainers, securityContext } = byKind(objects, 'Deployment', 'gateway').spec.template.spec;
    assert.deepEqual(containers[0].ports, [
      { containerPort: 80, hostPort: 80 },
      { containerPort: 8080, hostPort: 8080 },
    ]);
    assert.equal(containers[0].readinessProbe.httpGet.port, 80);
    assert.deepEqual(securityContext.sysctls, [{ name: 'net.ipv4.ip_unprivileged_port_start', value: '0' }]);
    assert.deepEqual(initContainers[0].ports[0], { name: 'admin', containerPort: 9000 });
    assert.deepEqual(
      byKind(objects, 'Service', 'inference').spec.ports.map(({ port, targetPort }: Values) => [port, targetPort]),
      [
        [443, 80],
        [8080, 8080],
      ],
    );
    assert.deepEqual(
      byKind(objects, 'NetworkPolicy', 'gateway').spec.ingress.map(({ ports }: Values) => ports),
      [[{ port: 80 }, { port: 8080 }], [{ port: 9000 }]],
    );
  });

  test('a listener with TLS is probed, tested and announced by https', async () => {
    const listeners = [{ name: 'https', port: 8443, tls: { secretRef: { name: 'front' } } }];
    const values = { inferenceGateway: { spec: { listeners } } };
    const objects = await helm.render(NAMESPACE, values);
    const [envoy] = byKind(objects, 'DaemonSet').spec.template.spec.containers;
    assert.deepEqual(envoy.readinessProbe.httpGet, { path: '/readyz', port: 8443, scheme: 'HTTPS' });
    assert.equal(byKind(objects, 'Service', 'fairlead').spec.ports[0].appProtocol, 'https');
    const [ask] = byKind(objects, 'Pod').spec.containers;
    assert.equal(ask.env[0].value, `https://fairlead.${NAMESPACE}.svc:8443`);
  });

  test('readiness is asked without TLS where that can be: the other port is closed for want of its Secret', async () => {
    const listeners = [
      { name: 'https', port: 8443, tls: { secretRef: { name: 'front' } } },
      { name: 'http', port: 8888 },
    ];
    const objects = await helm.render(NAMESPACE, { inferenceGateway: { spec: { listeners } } });
    const [envoy] = byKind(objects, 'DaemonSet').spec.template.spec.containers;
    assert.deepEqual(envoy.readinessProbe.httpGet, { path: '/readyz', port: 8888, scheme: 'HTTP' });
  });

  test('an admin port below 1024 may be bound, too', async () => {
    const { spec } = byKind(await helm.render(NAMESPACE, listening([8888], 889)), 'DaemonSet').spec.template;
    assert.deepEqual(spec.securityContext.sysctls, [{ name: 'net.ipv4.ip_unprivileged_port_start', value: '0' }]);
  });

  test('a pod that is not ready may be evicted', async () => {
    const budgets = (await helm.render(NAMESPACE, { mode: 'deployment' })).filter(
      ({ kind }) => kind === 'PodDisruptionBudget',
    );
    assert.deepEqual(
      budgets.map(({ spec }) => spec.unhealthyPodEvictionPolicy),
      ['AlwaysAllow', 'AlwaysAllow'],
    );
  });

  test('annotations of gateway pods stand beside the chart’s, or in its place', async () => {
    const annotations = async (podAnnotations: Values) =>
      byKind(await helm.render(NAMESPACE, { gateway: { podAnnotations } }), 'DaemonSet').spec.template.metadata
        .annotations;
    const name = 'kubectl.kubernetes.io/default-container';
    assert.deepEqual(await annotations({ a: 'b' }), { [name]: 'envoy', a: 'b' });
    assert.deepEqual(await annotations({ [name]: 'extproc' }), { [name]: 'extproc' });
  });

  test('values-tls.yaml is for an upgrade as well: the pods stay what they are, and the port that there was', async () => {
    const values = parse(readFileSync(join(EXAMPLES, 'values-tls.yaml'), 'utf8'));
    const [before, after] = [await helm.render(NAMESPACE), await helm.render(NAMESPACE, values)];
    assert.deepEqual(after.map(({ kind }) => kind).sort(), before.map(({ kind }) => kind).sort());
    const ports = (objects: readonly Manifest[]) =>
      byKind(objects, 'Service', 'fairlead').spec.ports.map(({ name, port, targetPort }: Values) => [
        name,
        port,
        targetPort,
      ]);
    assert.deepEqual(ports(after), [['https', 443, 8443], ...ports(before)]);
  });

  test('two containers that share a port of the node are never on it together, others are', async () => {
    const strategy = async (values: Values) =>
      byKind(await helm.render(NAMESPACE, values), 'DaemonSet').spec.updateStrategy.rollingUpdate;
    assert.deepEqual(await strategy({}), { maxSurge: '25%', maxUnavailable: 0 });
    assert.deepEqual(await strategy({ gateway: { hostPort: true } }), { maxSurge: 0, maxUnavailable: '25%' });
  });

  test('a gateway pod outlives its drain, and may do nothing at the API server', async () => {
    const { spec } = byKind(await helm.render(NAMESPACE), 'DaemonSet').spec.template;
    const [, , script] = spec.containers[0].lifecycle.preStop.exec.command;
    assert.ok(spec.terminationGracePeriodSeconds > Number(/--timeout=(\d+)s/.exec(script)?.[1]));
    assert.equal(spec.automountServiceAccountToken, false);
    assert.equal(spec.initContainers[0].restartPolicy, 'Always');
  });

  test('PodMonitors watch ports that there are', async () => {
    const objects = await helm.render(NAMESPACE, { podMonitor: { enabled: true, labels: { release: 'prometheus' } } });
    const monitors = objects.filter(({ kind }) => kind === 'PodMonitor');
    assert.equal(monitors.length, 2);
    for (const { metadata, spec } of monitors) {
      assert.equal(metadata.labels?.release, 'prometheus');
      const component = metadata.labels?.['app.kubernetes.io/component'];
      const pod = objects.find(
        ({ kind, metadata: { name } }) => /Deployment|DaemonSet/.test(kind) && name.endsWith(`${component}`),
      );
      const { containers, initContainers = [] } = pod?.spec.template.spec ?? {};
      const names = [...containers, ...initContainers].flatMap(({ ports }) => ports.map(({ name }: Values) => name));
      assert.ok(names.includes(spec.podMetricsEndpoints[0].port));
      assert.equal(spec.selector.matchLabels['app.kubernetes.io/component'], component);
    }
  });

  test('the dashboard shows metrics that there are, by labels that they have', () => {
    const { panels } = JSON.parse(read('dashboards', 'fairlead.json')) as {
      panels: { targets?: { expr: string }[] }[];
    };
    const labels = new Map<string, readonly string[]>(Object.values(METRICS).map(({ name, labels }) => [name, labels]));
    const expressions = panels.flatMap(({ targets = [] }) => targets.map(({ expr }) => expr));
    assert.ok(expressions.length > 10);
    for (const expression of expressions) {
      const shown = [...expression.matchAll(/(fairlead_[a-z_]+?)(?:_bucket)?\{(.*?)\}/g)];
      const known = ['namespace', 'pod', 'le', ...shown.flatMap(([, name = '']) => labels.get(name) ?? [name])];
      const asked = [
        ...shown.flatMap(([, , selector = '']) => [...selector.matchAll(/(\w+)[!=]/g)].map(([, label]) => label)),
        ...[...expression.matchAll(/by \((.*?)\)/g)].flatMap(([, names = '']) => names.split(', ')),
      ];
      assert.ok(shown.length > 0 && shown.every(([, name = '']) => labels.has(name)), expression);
      assert.deepEqual(
        [...new Set(asked)].filter(label => !known.includes(label ?? '')),
        [],
        expression,
      );
    }
    const variables = [...read('dashboards', 'fairlead.json').matchAll(/label_values\((\w+)/g)].map(
      ([, name = '']) => name,
    );
    assert.deepEqual(
      variables.filter(name => !labels.has(name)),
      [],
    );
  });

  test('every value is in the README, and nothing else is', () => {
    const leaves = (value: unknown, path: string): string[] => {
      const fields = typeof value === 'object' && value !== null && !Array.isArray(value) ? Object.entries(value) : [];
      const whole = fields.length === 0 || /(resources|labels|inferenceGateway\.spec)$/.test(path);
      return whole ? [path] : fields.flatMap(([name, field]) => leaves(field, path === '' ? name : `${path}.${name}`));
    };
    const declared = leaves(parse(read('values.yaml')), '').sort();
    const documented = [...read('README.md').matchAll(/^\| `([\w.]+)` \|/gm)].map(([, name]) => name).sort();
    assert.deepEqual(documented, declared);
  });

  test('one version: of the package, of the chart, of the image', () => {
    const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { version: string };
    const chart = parse(read('Chart.yaml')) as { version: string; appVersion: string };
    assert.deepEqual([chart.version, chart.appVersion], [version, version]);
  });
});
