import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { promisify } from 'node:util';
import { type SimPod, startPods } from '../../sim/pod.ts';
import { anthropicClient, message, streamedMessage } from '../clients/anthropic-node.ts';
import {
  chat,
  chatError,
  embeddings,
  modelIds,
  openAiClient,
  streamedChat,
  streamedEvents,
} from '../clients/openai-node.ts';
import { Gateway, model } from './harness/gateway.ts';

const CHAT = 'meta-llama/Llama-3.1-8B-Instruct';
const EMBEDDING = 'BAAI/bge-m3';

suite('the official clients, through a real Envoy', () => {
  let pods: SimPod[] = [];
  let gateway: Gateway;

  before(async () => {
    pods = await startPods([
      { name: 'llama-0', models: [CHAT], timeScale: 20 },
      { name: 'bge-0', models: [EMBEDDING], timeScale: 20 },
    ]);
    const [llama, bge] = pods.map(pod => pod.endpoint);
    gateway = await Gateway.start({
      resources: [
        model('llama', [llama ?? ''], { model: CHAT, aliases: ['llama'] }),
        model('bge', [bge ?? ''], { model: EMBEDDING, type: 'text-embeddings' }),
      ],
    });
  });

  after(async () => {
    await gateway?.close();
    await Promise.all(pods.map(pod => pod.close()));
  });

  test('OpenAI for Node: chat, stream to [DONE], embeddings, models, NotFoundError', async () => {
    const client = openAiClient(`${gateway.url}/v1`);
    const answer = await chat(client, 'llama', 12);
    assert.equal(answer.usage?.completion_tokens, 12);
    assert.equal(answer.model, CHAT, 'the pod was asked by the id that it knows');
    const stream = await streamedChat(client, CHAT, 24);
    assert.equal(stream.completionTokens, 24);
    assert.equal((await streamedEvents(client, CHAT, 3)).at(-1), 'data: [DONE]');
    assert.equal((await embeddings(client, EMBEDDING, ['one', 'two'])).length, 2);
    assert.deepEqual(await modelIds(client), [EMBEDDING, CHAT]);
    const error = await chatError(client, 'gpt-5');
    assert.equal(error.constructor.name, 'NotFoundError');
    assert.equal(error.code, 'model_not_found');
    assert.match(error.message, /Model not found: gpt-5/);
  });

  test('OpenAI for Python, the same', async () => {
    const root = join(import.meta.dirname, '..', '..');
    const { stdout } = await promisify(execFile)(
      join(root, '.venv', 'bin', 'python'),
      [join(root, 'test', 'clients', 'openai_acceptance.py')],
      { env: { ...process.env, BASE_URL: `${gateway.url}/v1`, CHAT_MODEL: CHAT, EMBEDDING_MODEL: EMBEDDING } },
    );
    assert.equal(stdout.match(/ok/g)?.length, 6, stdout);
  });

  test('Anthropic for Node: message and streamed message', async () => {
    const client = anthropicClient(gateway.url);
    assert.equal((await message(client, 'llama', 8)).usage.output_tokens, 8);
    assert.equal((await streamedMessage(client, 'llama', 8)).usage.output_tokens, 8);
  });
});
