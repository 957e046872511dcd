import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import OpenAI from 'openai';
import { until } from '../../e2e/harness/until.ts';
import { EXAMPLE_MODEL, Installation, isReady, type ListedPod } from './installation.ts';

suite('the chart, installed into a cluster', () => {
  let installation: Installation;

  before(async () => {
    installation = await Installation.prepare();
  });
  after(() => installation?.stop());

  test('helm install waits until gateways and operators are ready, and says how to ask', async () => {
    const notes = await installation.install();
    assert.match(notes, /curl /);
    for (const component of ['gateway', 'operator']) {
      const pods = await installation.pods(`app.kubernetes.io/component=${component}`);
      assert.equal(pods.filter(isReady).length, 2, component);
    }
    const leaders = await installation.pods('fairlead.dev/leader=true');
    assert.equal(leaders.length, 1, 'one operator leads');
  });

  test('the example is applied, becomes ready, and a client is answered through the Service', async () => {
    await installation.applyExample('model.yaml');
    await installation.kubectl(['wait', '--for=condition=Ready', 'md/llama-3-8b', '--timeout=60s']);
    const client = new OpenAI({ baseURL: `${await installation.url()}/v1`, apiKey: 'any_key' });
    const { choices } = await client.chat.completions.create({
      model: 'llama',
      messages: [{ role: 'user', content: 'Hello' }],
      max_tokens: 8,
    });
    assert.match(choices[0]?.message.content ?? '', /^Hello from llama-/);
    assert.deepEqual(
      (await client.models.list()).data.map(({ id }) => id),
      [EXAMPLE_MODEL],
    );
  });

  test('a gateway that is told to stop says in its log how it drains', async () => {
    const [{ metadata }] = (await installation.pods('app.kubernetes.io/component=gateway')) as [ListedPod];
    await installation.kubectl(['delete', 'pod', metadata.name, '--wait=false']);
    await until('the end of the drain', () => /^Drained: /m.test(installation.log(metadata.name, 'envoy')));
  });

  test('helm test asks it too', async () => {
    assert.match(await installation.helm('test', 'fairlead'), /Phase:\s+Succeeded/);
  });
});
