import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { isRefusal } from '../../errors/refusal.ts';
import { Validation } from '../../proto/gen/fairlead/v1/table_pb.js';
import type { BodyFacts } from './body-facts.ts';
import { OUTPUT_LIMITS } from './endpoints.ts';
import { readJsonBody } from './json-body.ts';

const ENDPOINT = { generatesText: true, outputLimits: OUTPUT_LIMITS, takesPromptLists: true };
const FIELDS = ['model', 'prompt', 'stream', 'stream_options', 'n', 'best_of', ...OUTPUT_LIMITS];

const space = fc.string({ unit: fc.constantFrom(' ', '\t', '\n', '\r'), maxLength: 2 });

/** A string token with some of its characters escaped that need not be. */
function token(text: string, escaped: readonly boolean[]): string {
  const hex = (character: string) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
  const body = [...JSON.stringify(text).slice(1, -1)];
  if (JSON.stringify(text).includes('\\')) return JSON.stringify(text);
  return `"${body.map((c, i) => (escaped[i % escaped.length] && c.length === 1 ? hex(c) : c)).join('')}"`;
}

const freeKey = fc.oneof(fc.string({ unit: 'binary' }), fc.constantFrom('messages', 'prompt', 'models'));

const value = fc.oneof(
  fc.json({ maxDepth: 4 }),
  fc.json({ maxDepth: 4 }).map(json => JSON.stringify(JSON.parse(json), null, 1)),
  fc.string({ unit: 'binary', minLength: 1, maxLength: 300 }).map(text => JSON.stringify(text)),
  fc.constantFrom(
    'true',
    'false',
    'null',
    '0',
    '17',
    '1e3',
    '-1',
    '2.5',
    '1e400',
    '"llama"',
    '""',
    '"a/b@2"',
    '"\\u0061"',
  ),
  fc.bigInt().map(String),
);

/** Members that no rule refuses, and now and then fields with any value. */
const member: fc.Arbitrary<[key: string, value: string]> = fc.oneof(
  { weight: 6, arbitrary: fc.tuple(freeKey, value) },
  { weight: 2, arbitrary: fc.tuple(fc.constant('model'), fc.constantFrom('"llama"', '"a/b@2"', '"\\u0061é"')) },
  { weight: 2, arbitrary: fc.tuple(fc.constant('stream'), fc.constantFrom('true', 'false', 'null')) },
  { weight: 2, arbitrary: fc.tuple(fc.constantFrom(...OUTPUT_LIMITS), fc.constantFrom('null', '0', '17', '1e3')) },
  { weight: 1, arbitrary: fc.tuple(fc.constant('n'), fc.constantFrom('null', '1', '17', '1e1')) },
  { weight: 1, arbitrary: fc.tuple(fc.constantFrom(...FIELDS), value) },
);

interface Body {
  readonly text: string;
  /** Keys, decoded, in order. */
  readonly keys: readonly string[];
}

/** The text of a JSON object, whose keys may repeat and be escaped, with white space anywhere. */
const body: fc.Arbitrary<Body> = fc
  .tuple(
    fc.constantFrom('', '\ufeff'),
    fc.array(fc.tuple(member, fc.array(fc.boolean(), { minLength: 1 }), space), { maxLength: 8 }),
    space,
  )
  .map(([mark, members, space]) => {
    const written = members.map(
      ([[key, value], escaped, gap]) => `${gap}${token(key, escaped)}${gap}:${space}${value}${gap}`,
    );
    return { text: `${mark}${space}{${written.join(',')}${space}}${space}`, keys: members.map(([[key]]) => key) };
  });

function parse(bytes: Buffer): Record<string, unknown> | undefined {
  try {
    const parsed: unknown = JSON.parse(bytes.toString().replace(/^\ufeff/, ''));
    return typeof parsed === 'object' && parsed !== null && !Array.isArray(parsed) ? { ...parsed } : undefined;
  } catch {
    return undefined;
  }
}

function isLimit(value: unknown): boolean {
  return (
    value === undefined || value === null || (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0)
  );
}

function outputLimit(parsed: Record<string, unknown>): number | undefined {
  const limits = OUTPUT_LIMITS.map(field => parsed[field]).filter(value => isLimit(value));
  return Math.max(...limits.map(Number).filter(limit => limit > 0), 0) || undefined;
}

/** Of a body that says so in a way that engines accept. */
function answers({ n, best_of, prompt }: Record<string, unknown>): number {
  const bestOf = isLimit(best_of) ? Number(best_of ?? 1) : 1;
  const isList = Array.isArray(prompt) && (typeof prompt[0] === 'string' || Array.isArray(prompt[0]));
  return Math.min(Math.max(Number(n ?? 1), bestOf) * (isList ? prompt.length : 1), Number.MAX_SAFE_INTEGER);
}

/** Checks what was read against what JSON.parse makes of the same bytes. */
function assertAgrees(bytes: Buffer, facts: BodyFacts, parsed: Record<string, unknown>): void {
  assert.equal(facts.model?.value, parsed.model);
  assert.equal(facts.stream, parsed.stream === true);
  assert.equal(facts.maxOutputTokens, outputLimit(parsed));
  assert.equal(facts.answers, answers(parsed));
  const { streamOptions } = facts;
  const options = streamOptions && JSON.parse(bytes.toString('utf8', streamOptions.start, streamOptions.end));
  assert.deepEqual(options, parsed.stream_options);
  if (facts.model) assert.equal(JSON.parse(bytes.toString('utf8', facts.model.start, facts.model.end)), parsed.model);
}

test('what is read from valid JSON is what JSON.parse reads, and what is refused is refused for its fields', () => {
  let read = 0;
  fc.assert(
    fc.property(body, ({ text, keys }) => {
      const bytes = Buffer.from(text);
      const facts = readJsonBody(bytes, Validation.BASIC, ENDPOINT);
      const parsed = parse(bytes);
      assert.ok(parsed, text);
      if (!isRefusal(facts)) {
        read++;
        assertAgrees(bytes, facts, parsed);
        assert.deepEqual(readJsonBody(bytes, Validation.STRICT, ENDPOINT), facts);
        assert.deepEqual(readJsonBody(bytes, Validation.OFF, ENDPOINT), facts);
        return;
      }
      const models = keys.filter(key => key === 'model').length;
      if (facts.code === 'model_mismatch') assert.ok(models > 1);
      else if (facts.param === 'model') assert.ok(models === 1 || keys.some(key => /^model$/i.test(key)));
      else if (facts.param === 'stream')
        assert.ok(![true, false, null, undefined].some(value => value === parsed.stream));
      else if (facts.param === 'n') assert.ok(!isLimit(parsed.n) || parsed.n === 0);
      else
        assert.ok(
          OUTPUT_LIMITS.some(field => field === facts.param && !isLimit(parsed[field])),
          facts.message,
        );
    }),
    { numRuns: 2_000 },
  );
  assert.ok(read > 200, `only ${read} bodies were read`);
});

test('no beginning of a body is taken for the whole', () => {
  fc.assert(
    fc.property(body, fc.nat(), ({ text }, cut) => {
      const whole = Buffer.from(text.trimEnd());
      const facts = readJsonBody(whole.subarray(0, cut % whole.length), Validation.OFF, ENDPOINT);
      assert.equal(isRefusal(facts) && facts.code, 'invalid_json');
    }),
    { numRuns: 1_000 },
  );
});

/** The top level alone: strings emptied, what is nested replaced by 0. Undefined when something is not closed. */
function topLevel(text: string): string | undefined {
  let depth = 0;
  let result = '';
  for (let i = 0; i < text.length; i++) {
    const character = text.charAt(i);
    if ('}]'.includes(character) && --depth === 1) continue;
    if (depth <= 1) result += character;
    if (character === '"') {
      while (++i < text.length && text[i] !== '"') if (text[i] === '\\') i++;
      if (depth <= 1) result += '"';
    }
    if ('{['.includes(character) && ++depth === 2) result = `${result.slice(0, -1)}0`;
  }
  return depth === 0 ? result : undefined;
}

const damage = fc.tuple(fc.nat(), fc.nat({ max: 3 }), fc.uint8Array({ maxLength: 3 }));
const syntax = fc.tuple(
  fc.nat(),
  fc.nat({ max: 2 }),
  fc.constantFrom(...'{}[]":,\\ntf0-.e').map(c => Buffer.from(c)),
);

test('damaged bodies: nothing throws, and what is accepted is as well-formed as promised', () => {
  const outcomes = { refused: 0, sound: 0, soundAtTopLevel: 0 };
  fc.assert(
    fc.property(body, fc.array(fc.oneof(damage, syntax), { maxLength: 2 }), ({ text }, damages) => {
      let bytes = Buffer.from(text);
      for (const [at, removed, inserted] of damages) {
        const start = at % (bytes.length + 1);
        bytes = Buffer.concat([bytes.subarray(0, start), inserted, bytes.subarray(start + removed)]);
      }
      const off = readJsonBody(bytes, Validation.OFF, ENDPOINT);
      const basic = readJsonBody(bytes, Validation.BASIC, ENDPOINT);
      const strict = readJsonBody(bytes, Validation.STRICT, ENDPOINT);
      const parsed = parse(bytes);
      // Each level accepts only what the one below accepts, and reads the same from it.
      if (!isRefusal(strict)) assert.deepEqual(basic, strict);
      if (!isRefusal(basic)) assert.deepEqual(off, basic);
      // Strict: what JSON.parse refuses is refused. All: what it accepts is read as it does.
      if (parsed === undefined) assert.ok(isRefusal(strict));
      else if (!isRefusal(basic)) assertAgrees(bytes, basic, parsed);
      else if (bytes.equals(Buffer.from(bytes.toString()))) assert.notEqual(basic.code, 'invalid_json');
      // Basic: the top level would pass JSON.parse, were it not for what the strings hold.
      if (isRefusal(basic)) outcomes.refused++;
      else if (parsed !== undefined) outcomes.sound++;
      else {
        outcomes.soundAtTopLevel++;
        const skeleton = topLevel(bytes.toString().replace(/^\ufeff/, ''));
        assert.ok(skeleton !== undefined && parse(Buffer.from(skeleton)), `${bytes} → ${skeleton}`);
      }
    }),
    { numRuns: 5_000 },
  );
  assert.ok(
    Object.values(outcomes).every(count => count > 0),
    JSON.stringify(outcomes),
  );
});

test('arbitrary bytes never throw', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), fc.boolean(), (bytes, isObject) => {
      const body = isObject ? Buffer.concat([Buffer.from('{"'), bytes]) : bytes;
      for (const validation of [Validation.OFF, Validation.BASIC, Validation.STRICT])
        readJsonBody(body, validation, ENDPOINT);
    }),
  );
});
