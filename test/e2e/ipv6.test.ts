import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { type SimPod, startPods } from '../../sim/pod.ts';
import { Gateway, model } from './harness/gateway.ts';

suite('endpoints by IPv6 address', () => {
  let pods: SimPod[] = [];
  let gateway: Gateway;

  before(async () => {
    pods = await startPods([
      { name: 'six', models: ['long', 'short'], address: '::1' },
      { name: 'four', models: ['mapped'] },
    ]);
    const [six = 0, four = 0] = pods.map(pod => pod.port);
    gateway = await Gateway.start({
      resources: [
        model('long', [`[0:0:0:0:0:0:0:1]:${six}`]),
        model('short', [`[::1]:${six}`]),
        model('mapped', [`[::FFFF:7f00:1]:${four}`]),
      ],
    });
  });
  after(async () => {
    await gateway?.close();
    await Promise.all(pods.map(pod => pod.close()));
  });

  for (const name of ['short', 'long', 'mapped']) {
    test(`are reached however it is written: ${name}`, async () => {
      const answer = await gateway.chat(name);
      assert.equal(answer.status, 200, await answer.text());
      assert.equal(answer.headers.get('x-fairlead-endpoint'), 'pods-0');
    });
  }
});
