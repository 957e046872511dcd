import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { access } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import { NotFoundError } from 'openai';
import { type SimPod, startPod } from '../../sim/pod.ts';
import { anthropicClient, message, streamedMessage } from './anthropic-node.ts';
import { chat, chatError, embeddings, modelIds, openAiClient, streamedChat, streamedEvents } from './openai-node.ts';

const PYTHON = join(import.meta.dirname, '../../.venv/bin/python');
const CHAT_MODEL = 'acme/chat';
const EMBEDDING_MODEL = 'acme/embed';

const pythonClient = await access(PYTHON).then(
  () => true,
  () => false,
);

describe('official clients against a simulated pod', () => {
  let pod: SimPod;
  before(async () => {
    pod = await startPod({ name: 'p', models: [CHAT_MODEL, EMBEDDING_MODEL], timeScale: 50 });
  });
  after(() => pod.close());

  test("OpenAI's Node client", async () => {
    const client = openAiClient(`${pod.url}/v1`);
    const whole = await chat(client, CHAT_MODEL, 9);
    const streamed = await streamedChat(client, CHAT_MODEL, 9);
    assert.equal(whole.usage?.completion_tokens, 9);
    assert.deepEqual(streamed, {
      text: whole.choices[0]?.message.content,
      finishReason: 'length',
      completionTokens: 9,
    });
    assert.equal((await streamedEvents(client, CHAT_MODEL, 3)).at(-1), 'data: [DONE]');
    assert.deepEqual(await modelIds(client), [CHAT_MODEL, EMBEDDING_MODEL]);
    const [north, south] = await embeddings(client, EMBEDDING_MODEL, ['north', 'south']);
    assert.equal(north?.length, 1024);
    assert.notDeepEqual(north, south);
    const error = await chatError(client, 'no-such-model');
    assert.ok(error instanceof NotFoundError);
    assert.equal(error.param, 'model');
  });

  test("Anthropic's Node client", async () => {
    const client = anthropicClient(pod.url);
    const whole = await message(client, CHAT_MODEL, 7);
    const streamed = await streamedMessage(client, CHAT_MODEL, 7);
    assert.equal(whole.stop_reason, 'max_tokens');
    assert.equal(whole.usage.output_tokens, 7);
    assert.deepEqual(
      { content: streamed.content, stop: streamed.stop_reason, out: streamed.usage.output_tokens },
      { content: whole.content, stop: 'max_tokens', out: 7 },
    );
    assert.equal(streamed.usage.input_tokens, whole.usage.input_tokens);
  });

  test("OpenAI's Python client", { skip: pythonClient ? false : 'run test/clients/setup.sh first' }, async () => {
    const env = { BASE_URL: `${pod.url}/v1`, CHAT_MODEL, EMBEDDING_MODEL, NOT_FOUND_CODE: '404' };
    const script = join(import.meta.dirname, 'openai_acceptance.py');
    const { stdout } = await promisify(execFile)(PYTHON, [script], { env });
    assert.equal(stdout.match(/ ok$/gm)?.length, 6);
  });
});
