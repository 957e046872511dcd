import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { until } from '../../e2e/harness/until.ts';
import { answering, FOREVER, isTrue, PodBench, type SeenPod, saying, serviceOf, staying } from './pod-bench.ts';

suite('the process kubelet: the life of a pod', () => {
  let bench: PodBench;

  before(async () => {
    bench = await PodBench.start();
  });

  after(() => bench?.stop());

  test('begins init containers and sidecars in order, then the others; ends sidecars last, in reverse', async () => {
    const sidecar = (name: string) =>
      saying(
        name,
        `trap 'say ${name} ends; exit 0' TERM; say ${name} begins; sleep 0.2; say ${name} is started; touch /shared/${name}; ${FOREVER}`,
        {
          restartPolicy: 'Always',
          startupProbe: {
            exec: { command: ['test', '-e', `/shared/${name}`] },
            periodSeconds: 1,
            failureThreshold: 100,
          },
          volumeMounts: [{ name: 'shared', mountPath: '/shared' }],
        },
      );
    const main = saying(
      'main',
      `trap 'say main hears; sleep 0.3; say main ends; exit 0' TERM; say main begins; ${FOREVER}`,
    );
    await bench.createPod('order', {
      volumes: [{ name: 'shared', emptyDir: {} }],
      initContainers: [saying('one', 'say one'), sidecar('first'), saying('two', 'say two'), sidecar('second')],
      containers: [main],
    });
    await bench.untilReady('order');
    await bench.untilLogged('order', 'main', 'main begins');
    await bench.delete('order');
    assert.deepEqual(bench.said('order', ['one', 'first', 'two', 'second', 'main']), [
      ...['one', 'first begins', 'first is started', 'two', 'second begins', 'second is started'],
      ...['main begins', 'main hears', 'main ends', 'second ends', 'first ends'],
    ]);
  });

  test('tells a container of its pod, its node, its configuration and the Services', async () => {
    await bench.apply(
      { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'words' }, data: { greeting: 'hello', 'a.txt': 'A' } },
      { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'keys' }, stringData: { key: 's3cret' } },
    );
    const fieldRef = (fieldPath: string) => ({ valueFrom: { fieldRef: { fieldPath } } });
    const env = [
      { name: 'POD', ...fieldRef('metadata.name') },
      { name: 'IP', ...fieldRef('status.podIP') },
      { name: 'NODE', ...fieldRef('spec.nodeName') },
      { name: 'ROLE', ...fieldRef("metadata.labels['role']") },
      { name: 'KEY', valueFrom: { secretKeyRef: { name: 'keys', key: 'key' } } },
      { name: 'NONE', valueFrom: { configMapKeyRef: { name: 'none', key: 'key', optional: true } } },
      { name: 'BOTH', value: '$(ROLE) of $(POD), $$(POD), $(UNKNOWN)' },
      { name: 'MEMORY', valueFrom: { resourceFieldRef: { resource: 'limits.memory', divisor: '1Mi' } } },
    ];
    const script = `
      say "$POD $NODE" "$(hostname)" "$(pwd)"; say "$BOTH"; say "$KEY $W_greeting \${NONE-absent} $MEMORY" "$@"
      say "$KUBERNETES_SERVICE_HOST:$KUBERNETES_SERVICE_PORT" "$(ip -4 -o address show eth0 | grep -c " $IP/")"
      say "$(cd /etc/words; echo *)" "$(cat /etc/words/renamed)" "$(touch /etc/words/x 2>/dev/null || echo read-only)"
      say "$(cat /var/run/secrets/both/key /var/run/secrets/both/namespace)"; touch /x 2>/dev/null && exit 1; touch /data/x`;
    const mounts = [
      { name: 'words', mountPath: '/etc/words' },
      { name: 'both', mountPath: '/var/run/secrets/both' },
      { name: 'data', mountPath: '/data' },
    ];
    const main = saying('main', script, {
      ...{ env, envFrom: [{ prefix: 'W_', configMapRef: { name: 'words' } }] },
      ...{ args: ['sh', 'said by $(POD)'], workingDir: '/usr', volumeMounts: mounts },
      ...{ resources: { limits: { memory: '64Mi' } }, securityContext: { readOnlyRootFilesystem: true } },
    });
    const namespace = { items: [{ path: 'namespace', fieldRef: { fieldPath: 'metadata.namespace' } }] };
    const volumes = [
      { name: 'words', configMap: { name: 'words', items: [{ key: 'a.txt', path: 'renamed' }] } },
      { name: 'both', projected: { sources: [{ secret: { name: 'keys' } }, { downwardAPI: namespace }] } },
      { name: 'data', emptyDir: {} },
    ];
    await bench.createPod('told', { restartPolicy: 'Never', containers: [main], volumes }, { role: 'teller' });
    const { status } = await bench.untilPod('told', 'ended', ended);
    assert.equal(status.phase, 'Succeeded');
    assert.deepEqual(bench.said('told', ['main']), [
      ...[`told ${(await bench.pod('told')).spec.nodeName} told /usr`, 'teller of told, $(POD), $(UNKNOWN)'],
      ...['s3cret hello absent 64 said by told', '10.0.0.1:443 1'],
      ...['renamed A read-only', 's3cretdefault'],
    ]);
  });

  test('gives it a token that the API server takes for its account, at the address that pods are told', async () => {
    const program = `
      const { readFileSync } = require('node:fs');
      const account = '/var/run/secrets/kubernetes.io/serviceaccount/';
      const token = readFileSync('/var/run/token/mine', 'utf8');
      const body = JSON.stringify({
        apiVersion: 'authentication.k8s.io/v1', kind: 'TokenReview', spec: { token, audiences: ['acme'] } });
      const headers = { authorization: 'Bearer ' + readFileSync(account + 'token'), 'content-type': 'application/json' };
      fetch('https://kubernetes.default.svc/apis/authentication.k8s.io/v1/tokenreviews', { method: 'POST', body, headers })
        .then(response => response.json()).then(({ status }) => {
          console.log(status.authenticated, status.user.username, status.user.extra['authentication.kubernetes.io/pod-name'][0]);
        });`;
    const ca = '/var/run/secrets/kubernetes.io/serviceaccount/ca.crt';
    const main = {
      ...{
        name: 'main',
        image: 'tool',
        command: ['node', '-e', program],
        env: [{ name: 'NODE_EXTRA_CA_CERTS', value: ca }],
      },
      volumeMounts: [{ name: 'token', mountPath: '/var/run/token' }],
    };
    const token = { serviceAccountToken: { path: 'mine', audience: 'acme', expirationSeconds: 600 } };
    const volumes = [{ name: 'token', projected: { sources: [token] } }];
    const role = ['clusterrolebinding', 'reviewer', '--clusterrole=system:auth-delegator'];
    await bench.cluster.kubectl(['create', ...role, '--serviceaccount=default:default']);
    await bench.createPod('asking', { restartPolicy: 'Never', containers: [main], volumes });
    await bench.untilPod('asking', 'ended', ended);
    assert.equal(bench.log('asking', 'main'), 'true system:serviceaccount:default:default asking\n');
  });

  test('shows what becomes of a ConfigMap, and of one that was not there', async () => {
    const map = (name: string, data: Record<string, string>) =>
      bench.apply({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name }, data });
    await map('news', { first: '1' });
    const script = `while :; do now=$(cd /news; tail -n +1 * /late/* 2>/dev/null | tr '\\n' ' '); [ "$now" = "$was" ] || say "$now"
      was=$now; sleep 0.02; done`;
    const mounts = [
      { name: 'news', mountPath: '/news' },
      { name: 'late', mountPath: '/late', readOnly: true },
    ];
    const volumes = [
      { name: 'news', configMap: { name: 'news' } },
      { name: 'late', configMap: { name: 'late', optional: true } },
    ];
    await bench.createPod('reader', { containers: [saying('main', script, { volumeMounts: mounts })], volumes });
    await bench.untilLogged('reader', 'main', '1');
    await map('late', { word: 'late' });
    await bench.untilLogged('reader', 'main', 'late');
    await map('news', { first: '2', second: '2' });
    await bench.untilLogged('reader', 'main', '==> second');
    const states = [
      '==> first <== 1',
      '==> first <== 1 ==> /late/word <== late',
      '==> first <== 2 ==> second <== 2 ==> /late/word <== late',
    ];
    // A change can come between the reader's list of the files and its reading of them.
    const seen = bench.said('reader', ['main']).filter(line => states.includes(line));
    assert.deepEqual(seen, states);
    await bench.delete('reader', 'now');
  });

  test('waits for a ConfigMap and a Secret that are needed, and says so', async () => {
    const env = [{ name: 'KEY', valueFrom: { secretKeyRef: { name: 'later', key: 'key' } } }];
    const main = saying('main', 'say "$KEY"', { env, volumeMounts: [{ name: 'later', mountPath: '/later' }] });
    const volumes = [{ name: 'later', configMap: { name: 'later' } }];
    await bench.createPod('waiting', { restartPolicy: 'Never', containers: [main], volumes });
    await bench.untilPod('waiting', 'waiting', ({ status }) =>
      Boolean(status.conditions?.some(({ message }) => message?.includes('configmaps "later" not found'))),
    );
    await bench.apply({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'later' }, data: {} });
    const waiting = ({ status }: SeenPod) =>
      status.containerStatuses[0]?.state.waiting?.reason === 'CreateContainerConfigError';
    await bench.untilPod('waiting', 'waiting for its Secret', waiting);
    await bench.apply({ apiVersion: 'v1', kind: 'Secret', metadata: { name: 'later' }, stringData: { key: 'here' } });
    await bench.untilPod('waiting', 'ended', ended);
    assert.deepEqual(bench.said('waiting', ['main']), ['here']);
  });

  test('runs preStop before SIGTERM, and SIGKILLs what is there when the grace is over', async () => {
    const preStop = { exec: { command: ['sh', '-c', 'echo "$(date +%s%N) stopping" >/proc/1/fd/1; sleep 0.2'] } };
    const deaf = saying('deaf', `trap 'say deaf hears' TERM; ${FOREVER}`, { lifecycle: { preStop } });
    await bench.createPod('graceful', {
      terminationGracePeriodSeconds: 6,
      containers: [deaf, staying('polite', { lifecycle: { preStop: { sleep: { seconds: 1 } } } })],
    });
    await bench.untilReady('graceful');
    await bench.untilLogged('graceful', 'polite', 'begins');
    await bench.delete('graceful');
    assert.deepEqual(bench.said('graceful', ['deaf']), ['stopping', 'deaf hears']);
    assert.deepEqual(bench.said('graceful', ['polite']), ['polite begins', 'polite ends']);
  });

  test('restarts a container that crashed, and one that is not alive', async () => {
    const mounts = { volumeMounts: [{ name: 'data', mountPath: '/data' }] };
    const crashing = saying('crashing', `[ -e /data/x ] || { touch /data/x; exit 3; }; ${FOREVER}`, mounts);
    const livenessProbe = { exec: { command: ['sh', '-c', '[ -e /data/y ] || ! touch /data/y'] }, failureThreshold: 1 };
    const hanging = staying('hanging', { ...mounts, livenessProbe: { ...livenessProbe, periodSeconds: 1 } });
    await bench.createPod('restarting', {
      ...{ volumes: [{ name: 'data', emptyDir: {} }], terminationGracePeriodSeconds: 10 },
      containers: [crashing, hanging],
    });
    const { status } = await bench.untilPod(
      'restarting',
      'restarted',
      pod => isTrue(pod, 'Ready') && pod.status.containerStatuses.every(({ restartCount }) => restartCount === 1),
    );
    assert.deepEqual(
      status.containerStatuses.map(({ lastState }) => lastState.terminated?.exitCode),
      [3, 0],
    );
    assert.deepEqual(bench.said('restarting', ['hanging']), ['hanging begins', 'hanging ends', 'hanging begins']);
    await bench.delete('restarting', 'now');
  });

  test('is ready when its probe says so and its gates are open, and so is its Service', async () => {
    const readinessGates = [{ conditionType: 'acme.dev/open' }];
    await bench.createPod('gated', { readinessGates, containers: [answering('main')] }, { app: 'gated' });
    await bench.apply(serviceOf('gated'));
    const address = await bench.clusterIp('gated');
    const ask = () =>
      fetch(`http://${address}/`, { headers: { connection: 'close' } }).then(
        answer => answer.text(),
        () => 'refused',
      );
    const {
      status: { podIP },
    } = await bench.untilPod('gated', 'ready but for its gate', pod => isTrue(pod, 'ContainersReady'));
    assert.equal(await ask(), 'refused');
    const conditions = [{ type: 'acme.dev/open', status: 'True' }];
    const patch = JSON.stringify({ status: { conditions } });
    await bench.cluster.kubectl(['patch', 'pod', 'gated', '--subresource=status', '-p', patch]);
    await bench.untilReady('gated');
    await until('an answer', async () => (await ask()) === 'gated');
    await fetch(`http://${podIP}:8888/flip`);
    await bench.untilPod('gated', 'not ready', pod => !isTrue(pod, 'Ready'));
    await until('no answer', async () => (await ask()) === 'refused');
    await fetch(`http://${podIP}:8888/flip`);
    await until('an answer again', async () => (await ask()) === 'gated');
    await bench.delete('gated');
  });

  test('nothing outlives a test process that is killed hard', async () => {
    const source = (file: string) => JSON.stringify(new URL(`../kubelet/${file}`, import.meta.url).href);
    const etc = join(bench.cluster.directory, 'etc');
    const options = {
      root: { scratch: join(etc, 'scratch'), hostname: 'x', etc, mounts: [], readOnly: false },
      ...{ command: ['sh', '-c', 'sleep 98765 & wait'], workingDir: '/', logFile: join(etc, 'log') },
    };
    mkdirSync(options.root.scratch, { recursive: true });
    const program = `
      import { Sandbox } from ${source('sandbox.ts')};
      import { Container } from ${source('container.ts')};
      const sandbox = await Sandbox.start('10.244.9.9');
      const { networkNamespace } = sandbox;
      await Container.start({ ...${JSON.stringify(options)}, networkNamespace, env: new Map([['PATH', process.env.PATH]]) });
      console.log(networkNamespace.split('/')[2]);`;
    const parent = spawn(process.execPath, ['--input-type=module-typescript', '-e', program], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const [sandbox] = await once(parent.stdout, 'data');
    const processes = () =>
      readdirSync('/proc').filter(name => name === `${sandbox}`.trim() || commandLineOf(name).includes('98765'));
    assert.ok((await until('its processes', () => processes().length >= 3 && processes())).length >= 3);
    parent.kill('SIGKILL');
    await until('their end', () => processes().length === 0);
  });
});

function commandLineOf(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8');
  } catch {
    return '';
  }
}

function ended({ status: { phase } }: SeenPod): boolean {
  return phase === 'Succeeded' || phase === 'Failed';
}
