import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { promisify } from 'node:util';
import { parse } from 'yaml';
import { consumerSchema } from '../crds/consumer.ts';
import { checkApiKey, digestOf, newApiKey } from '../extproc/identity/api-key.ts';
import { printDigest, printNewKey } from './keys.ts';

const NOW_MS = Date.UTC(2026, 10, 21, 12, 0, 0, 123);
const RANDOM = new Uint8Array(32).fill(7);
const KEY = newApiKey(RANDOM);

type Options = Partial<Pick<Parameters<typeof printNewKey>[0], 'consumer' | 'name' | 'expires' | 'output'>>;

function made(options: Options) {
  let [out, err] = ['', ''];
  const code = printNewKey({
    output: 'text',
    ...options,
    random: RANDOM,
    nowMs: NOW_MS,
    out: { write: text => (out += text) },
    err: { write: text => (err += text) },
  });
  return { code, out, err };
}

/** The lines of the text that are YAML. */
const document = (text: string) => text.split('\n\n')[2] ?? '';

describe('keys new', () => {
  test('tells the key once, its digest, and what the Consumer is to have', () => {
    const { code, out, err } = made({ consumer: 'alice', name: 'laptop', expires: '90d' });
    assert.deepEqual([code, err], [0, '']);
    assert.equal(out.split(KEY).length, 2);
    assert.match(out, new RegExp(`^API key +${KEY}\nSHA-256 +${digestOf(KEY)}\nExpires +2027-02-19T12:00:00Z\n`));
    const consumer = parse(document(out));
    assert.deepEqual(consumer, {
      apiVersion: 'fairlead.dev/v1alpha1',
      kind: 'Consumer',
      metadata: { name: 'alice' },
      spec: { apiKeys: [{ name: 'laptop', sha256: digestOf(KEY), expires: '2027-02-19T12:00:00Z' }] },
    });
    assert.ok(consumerSchema.safeParse(consumer).success);
    assert.match(out, /expires: "2027-/, 'a text in YAML 1.1 too');
  });

  test('without a Consumer it is the entry; a key without a name is called by its digest', () => {
    const { out } = made({});
    const name = `key-${digestOf(KEY).slice(0, 8)}`;
    assert.deepEqual(parse(document(out)), { apiKeys: [{ name, sha256: digestOf(KEY) }] });
    assert.match(out, /^Expires +never$/m);
  });

  test('for programs it is JSON', () => {
    const { out } = made({ consumer: 'ml/alice', expires: '2027-01-31', output: 'json' });
    assert.deepEqual(JSON.parse(out), {
      key: KEY,
      sha256: digestOf(KEY),
      name: `key-${digestOf(KEY).slice(0, 8)}`,
      expires: '2027-01-31T00:00:00Z',
      consumer: 'ml/alice',
    });
  });

  test('as YAML it is a file of the Consumer, without the key, which is told beside it', () => {
    const { code, out, err } = made({ consumer: 'alice', name: 'laptop', output: 'yaml' });
    assert.equal(code, 0);
    assert.ok(consumerSchema.safeParse(parse(out)).success);
    assert.ok(!out.includes(KEY));
    assert.match(err, new RegExp(`^API key   ${KEY}\n`));
    const limited = parse(`${out}  limits: [{requests: 1, per: minute}]\n`);
    assert.equal(limited.spec.limits.length, 1, 'and can be written on');
    assert.deepEqual(parse(made({ name: 'laptop', output: 'yaml' }).out), {
      apiKeys: [{ name: 'laptop', sha256: digestOf(KEY) }],
    });
  });

  const expiries = {
    '12h': '2026-11-22T00:00:00Z',
    '8w': '2027-01-16T12:00:00Z',
    '2027-01-31T10:00': '2027-01-31T10:00:00Z',
    '2027-01-31T10:00:00+02:00': '2027-01-31T08:00:00Z',
  };
  for (const [given, expires] of Object.entries(expiries)) {
    test(`--expires ${given} is ${expires}`, () => {
      assert.equal(JSON.parse(made({ expires: given, output: 'json' }).out).expires, expires);
    });
  }

  const wrong: [options: Options, message: RegExp][] = [
    ...['', '0d', '-1d', '90', '90 d', '1y', 'tomorrow', '2027', '2027-02-30', '2027-01-31T25:00', '2027-01-31Tx'].map(
      (expires): [Options, RegExp] => [{ expires }, /--expires must be/],
    ),
    [{ expires: '2026-11-21' }, /--expires is not in the future/],
    [{ consumer: '' }, /--consumer must be/],
    [{ consumer: 'Alice' }, /--consumer must be/],
    [{ consumer: 'a/b/c' }, /--consumer must be/],
    [{ consumer: '/b' }, /--consumer must be/],
    [{ name: 'My laptop' }, /--name must be/],
  ];
  for (const [options, message] of wrong) {
    test(`${JSON.stringify(options)} is a wrong call`, () => {
      const { code, out, err } = made(options);
      assert.deepEqual([code, out], [2, '']);
      assert.match(err, message);
    });
  }
});

describe('keys digest', () => {
  async function digested(...chunks: string[]) {
    let [out, err] = ['', ''];
    async function* input() {
      for (const chunk of chunks) yield Buffer.from(chunk);
    }
    const code = await printDigest({
      input: input(),
      out: { write: text => (out += text) },
      err: { write: text => (err += text) },
    });
    return { code, out, err };
  }

  test('is of the line without its end', async () => {
    for (const end of ['', '\n', '\r\n']) {
      assert.deepEqual(await digested('sk-', `élan${end}`), { code: 0, out: `${digestOf('sk-élan')}\n`, err: '' });
    }
  });

  const wrong: [input: string, message: RegExp][] = [
    ['', /no key/],
    ['\n', /no key/],
    [' sk-1', /one line without spaces/],
    ['sk-1\nsk-2\n', /one line without spaces/],
    ['x'.repeat(513), /at most 512 bytes/],
    ['x'.repeat(1_000_000), /at most 512 bytes/],
    [`${KEY.slice(0, -1)}_`, /typing error/],
  ];
  for (const [input, message] of wrong) {
    test(`${JSON.stringify(input.slice(0, 20))} is none, and is not repeated`, async () => {
      const { code, out, err } = await digested(input);
      assert.deepEqual([code, out], [1, '']);
      assert.match(err, message);
      assert.ok(!err.includes('sk-') && !err.includes('xx'));
    });
  }
});

test('as commands: two keys are never the same, and one that is made is digested to what was told', async () => {
  const fairlead = (...args: string[]) =>
    promisify(execFile)(process.execPath, [join(import.meta.dirname, 'main.ts'), ...args]);
  const [one, other] = await Promise.all([1, 2].map(() => fairlead('keys', 'new', '-o', 'json')));
  const [first, second] = [one, other].map(told => JSON.parse(told?.stdout ?? ''));
  assert.equal(checkApiKey(first.key), 'ours');
  assert.notEqual(first.key, second.key);
  const digest = fairlead('keys', 'digest');
  digest.child.stdin?.end(first.key);
  assert.equal((await digest).stdout, `${first.sha256}\n`);
  for (const wrong of [['keys'], ['keys', 'new', '--expires', 'never'], ['keys', 'old']]) {
    await assert.rejects(fairlead(...wrong), { code: 2 });
  }
});
