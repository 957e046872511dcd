import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { until } from '../../e2e/harness/until.ts';
import { answering, isTrue, PodBench, saying, serviceOf } from './pod-bench.ts';

suite('the process kubelet: under the real controllers', () => {
  let bench: PodBench;

  before(async () => {
    bench = await PodBench.start();
  });

  after(() => bench?.stop());

  const deployment = (name: string, replicas: number, answer: string) => {
    const labels = { app: name };
    // Who ends at SIGTERM is asked once more by those that have not heard of it: hence the wait.
    const lifecycle = { preStop: { sleep: { seconds: 5 } } };
    const containers = [answering('main', { env: [{ name: 'ANSWER', value: answer }], lifecycle })];
    const template = { metadata: { labels }, spec: { containers, terminationGracePeriodSeconds: 10 } };
    const strategy = { rollingUpdate: { maxUnavailable: 0, maxSurge: 1 } };
    const spec = { replicas, selector: { matchLabels: labels }, template, strategy };
    return { apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name }, spec };
  };

  const rolledOut = (name: string) =>
    bench.cluster.kubectl(['rollout', 'status', `deployment/${name}`, '--timeout=120s']);

  test('a Deployment is scaled and updated, and its Service answers all the while', async t => {
    await bench.apply(deployment('web', 1, 'old'), serviceOf('web'));
    await rolledOut('web');
    const url = `http://${await bench.clusterIp('web')}/`;
    const ask = () => fetch(url, { headers: { connection: 'close' } }).then(answer => answer.text());
    await until('an answer', () => ask().catch(() => undefined));
    const answers: string[] = [];
    const failures: string[] = [];
    const stopped = new AbortController();
    const client = (async () => {
      while (!stopped.signal.aborted) {
        await ask().then(
          answer => answers.push(answer),
          error => failures.push(`${error.message} ${error.cause?.message}`),
        );
      }
    })();
    t.after(() => {
      stopped.abort();
      return client;
    });
    await bench.cluster.kubectl(['scale', 'deployment/web', '--replicas=3']);
    await rolledOut('web');
    await bench.apply(deployment('web', 3, 'new'));
    await rolledOut('web');
    await until('only new answers', () => answers.slice(-20).every(answer => answer === 'new'));
    await bench.cluster.kubectl(['scale', 'deployment/web', '--replicas=1']);
    await until('one pod', async () => (await podNames('web')).length === 1);
    stopped.abort();
    await client;
    assert.deepEqual(failures, []);
    assert.deepEqual(new Set(answers), new Set(['old', 'new']));
    await bench.cluster.kubectl(['delete', 'deployment,service', 'web']);
    await until('its pods gone', async () => (await podNames('web')).length === 0);
  });

  const podNames = async (app: string) =>
    (await bench.cluster.kubectl(['get', 'pods', '-l', `app=${app}`, '-o', 'name'])).split('\n').filter(Boolean);

  test('a connection through a Service stays when its pod leaves that', async () => {
    const echo = `require('node:net').createServer(socket => socket.pipe(socket)).listen(8888);
      process.on('SIGTERM', () => setTimeout(() => process.exit(), 1_000))`;
    const container = answering('main', {
      command: ['node', '-e', echo],
      readinessProbe: { tcpSocket: { port: 'http' } },
    });
    await bench.createPod('echo', { containers: [container] }, { app: 'echo' });
    await bench.apply(serviceOf('echo'));
    await bench.untilReady('echo');
    const address = await bench.clusterIp('echo');
    const dial = () => {
      const socket = connect(80, address).setEncoding('utf8').setNoDelay();
      let heard = '';
      socket.on('data', chunk => {
        heard += chunk;
      });
      socket.on('error', () => socket.destroy());
      return {
        socket,
        hears: (text: string) => until(`echo of ${text}`, () => socket.destroyed || heard.includes(text)),
      };
    };
    const refused = async () => {
      const { socket, hears } = dial();
      socket.write('?');
      await hears('?');
      return socket.destroyed || !socket.destroy();
    };
    await until('a connection', async () => !(await refused()));
    const { socket, hears } = dial();
    socket.write('before');
    await hears('before');
    await bench.cluster.kubectl(['label', 'pod', 'echo', 'app-']);
    await until('no new connection', refused);
    socket.write('after');
    await hears('after');
    assert.equal(socket.destroyed, false);
    await bench.delete('echo');
    await until('the end of the connection', () => socket.destroyed);
  });

  test('a Job is done after a failure', async () => {
    const script = '[ -e /data/x ] && say done || { touch /data/x; exit 1; }';
    const containers = [saying('main', script, { volumeMounts: [{ name: 'data', mountPath: '/data' }] })];
    const template = { spec: { restartPolicy: 'OnFailure', containers, volumes: [{ name: 'data', emptyDir: {} }] } };
    await bench.apply({ apiVersion: 'batch/v1', kind: 'Job', metadata: { name: 'work' }, spec: { template } });
    await bench.cluster.kubectl(['wait', '--for=condition=Complete', 'job/work', '--timeout=120s']);
  });

  test('what happens while the API server is away is told when it is back', async () => {
    const containers = [saying('main', 'sleep 100')];
    await bench.createPod('apart', { restartPolicy: 'Never', containers });
    await bench.untilReady('apart');
    await bench.createPod('visited', { containers: [answering('main')] }, { app: 'visited' });
    const {
      status: { podIP },
    } = await bench.untilReady('visited');
    await bench.cluster.stopApiServer();
    await fetch(`http://${podIP}:8888/flip`);
    await bench.cluster.startApiServer();
    await bench.untilPod('visited', 'not ready', pod => !isTrue(pod, 'Ready'));
    assert.ok(isTrue(await bench.pod('apart'), 'Ready'));
    await bench.delete('apart', 'now');
    await bench.delete('visited');
  });

  test('helm install --wait and helm test', async () => {
    const chart = join(bench.cluster.directory, 'chart');
    mkdirSync(join(chart, 'templates'), { recursive: true });
    writeFileSync(join(chart, 'Chart.yaml'), JSON.stringify({ apiVersion: 'v2', name: 'small', version: '1.0.0' }));
    const url = 'http://small.default.svc.cluster.local';
    const check = {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'small-test', annotations: { 'helm.sh/hook': 'test' } },
      spec: {
        restartPolicy: 'Never',
        containers: [
          {
            name: 'main',
            image: 'tool',
            command: ['node', '-e', `fetch('${url}').then(a => a.text()).then(console.log)`],
          },
        ],
      },
    };
    for (const document of [deployment('small', 2, 'here'), serviceOf('small'), check]) {
      writeFileSync(join(chart, 'templates', `${document.kind}.yaml`), JSON.stringify(document));
    }
    await bench.helm.run(['install', 'small', chart, '--wait', '--timeout=120s']);
    await bench.helm.run(['test', 'small', '--timeout=120s']);
    assert.equal(bench.log('small-test', 'main'), 'here\n');
    await bench.helm.run(['uninstall', 'small', '--wait', '--timeout=120s']);
    await until('its pods gone', async () => (await podNames('small')).length === 0);
  });
});
