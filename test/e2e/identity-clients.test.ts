import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { promisify } from 'node:util';
import * as anthropic from '@anthropic-ai/sdk';
import * as openai from 'openai';
import { anthropicClient, message, messageError } from '../clients/anthropic-node.ts';
import { chat, chatError, modelIds, openAiClient } from '../clients/openai-node.ts';
import { consumer, makeKey } from './harness/consumer.ts';
import { Fleet, LLAMA } from './harness/fleet.ts';
import { until } from './harness/until.ts';

const FORBIDDEN = 'public-name';

suite('the official clients, refused', () => {
  let fleet: Fleet;
  const keys = { node: makeKey(), python: makeKey(), anthropic: makeKey() };

  before(async () => {
    fleet = await Fleet.start({ gateway: { authentication: { mode: 'apiKeys' } } });
    fleet.gateway.write(
      'consumers.yaml',
      Object.entries(keys).map(([name, { sha256 }]) =>
        consumer(name, { apiKeys: [{ sha256 }], models: [LLAMA], limits: [{ requests: 1, per: 'day' }] }),
      ),
    );
    const client = openAiClient(`${fleet.gateway.url}/v1`, keys.python.key);
    await until('keys are taken', () => modelIds(client).catch(() => false as const));
  });
  after(() => fleet?.close());

  test('OpenAI for Node raises what its users handle', async () => {
    const url = `${fleet.gateway.url}/v1`;
    const wrong = await chatError(openAiClient(url), LLAMA);
    assert.ok(wrong instanceof openai.AuthenticationError);
    assert.deepEqual([wrong.code, wrong.type], ['invalid_api_key', 'authentication_error']);
    const client = openAiClient(url, keys.node.key);
    assert.deepEqual(await modelIds(client), [LLAMA]);
    const forbidden = await chatError(client, FORBIDDEN);
    assert.ok(forbidden instanceof openai.PermissionDeniedError);
    assert.deepEqual(
      [forbidden.code, forbidden.type, forbidden.param],
      ['model_not_allowed', 'permission_error', 'model'],
    );
    assert.equal((await chat(client, LLAMA, 2)).usage?.completion_tokens, 2);
    const limited = await chatError(client, LLAMA);
    assert.ok(limited instanceof openai.RateLimitError);
    assert.equal(limited.code, 'rate_limit_exceeded');
    assert.ok(Number(limited.headers?.get('retry-after')) > 0);
  });

  test('OpenAI for Python, the same', async () => {
    const root = join(import.meta.dirname, '..', '..');
    const { stdout } = await promisify(execFile)(
      join(root, '.venv', 'bin', 'python'),
      [join(root, 'test', 'clients', 'openai_refusals.py')],
      {
        env: {
          ...process.env,
          BASE_URL: `${fleet.gateway.url}/v1`,
          API_KEY: keys.python.key,
          CHAT_MODEL: LLAMA,
          FORBIDDEN_MODEL: FORBIDDEN,
        },
      },
    );
    assert.equal(stdout.match(/ ok$/gm)?.length, 3, stdout);
  });

  test('Anthropic for Node, which sends x-api-key', async () => {
    const wrong = await messageError(anthropicClient(fleet.gateway.url), LLAMA);
    assert.ok(wrong instanceof anthropic.AuthenticationError);
    const client = anthropicClient(fleet.gateway.url, keys.anthropic.key);
    const forbidden = await messageError(client, FORBIDDEN);
    assert.ok(forbidden instanceof anthropic.PermissionDeniedError);
    assert.match(forbidden.message, /You may not use the model public-name/);
    assert.equal((await message(client, LLAMA, 2)).usage.output_tokens, 2);
    assert.ok((await messageError(client, LLAMA)) instanceof anthropic.RateLimitError);
  });
});
