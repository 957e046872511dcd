import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { isRefusal } from '../../errors/refusal.ts';
import { readMultipartBody } from './multipart-body.ts';
import { nameModel } from './name-model.ts';

const TYPE = 'multipart/form-data; boundary=XX';
const MODEL = 'Content-Disposition: form-data; name="model"\r\n\r\nwhisper';
const FILE = 'Content-Disposition: form-data; name="file"; filename="a.wav"\r\nContent-Type: audio/wav\r\n\r\n';

/** A form of these parts, each headers, blank line and content. */
function form(...parts: string[]): string {
  return `${parts.map(part => `--XX\r\n${part}\r\n`).join('')}--XX--\r\n`;
}

function field(disposition: string, content: string, ...headers: string[]): string {
  return [`Content-Disposition: form-data; ${disposition}`, ...headers, '', content].join('\r\n');
}

function told(body: string, type = TYPE): string {
  const facts = readMultipartBody(Buffer.from(body, 'latin1'), type);
  if (isRefusal(facts)) return facts.param === null ? facts.code : `${facts.code} ${facts.param}`;
  return `${facts.model?.value ?? '-'} ${facts.stream ? 'stream' : 'whole'}`;
}

const READ: [what: string, body: string, expected: string][] = [
  ['model before file', form(MODEL, `${FILE}RIFF`), 'whisper whole'],
  ['model after file', form(`${FILE}RIFF`, MODEL), 'whisper whole'],
  ['no model', form(`${FILE}RIFF`), '- whole'],
  ['no part', '--XX--', '- whole'],
  ['line breaks before and none after', `\r\n${form(MODEL).trimEnd()}`, 'whisper whole'],
  ['headers in other case', form('content-DISPOSITION: Form-Data; NAME="model"\r\n\r\nwhisper'), 'whisper whole'],
  ['an unquoted name', form(field('name=model', 'whisper')), 'whisper whole'],
  ['parameters in other order', form(field('x=y; name="model"', 'whisper')), 'whisper whole'],
  [
    'a part with its own type',
    form(field('name="model"', 'whisper', 'Content-Type: text/plain; charset=utf-8')),
    'whisper whole',
  ],
  ['a part in 8bit', form(field('name="model"', 'whisper', 'Content-Transfer-Encoding: 8bit')), 'whisper whole'],
  ['UTF-8', form(Buffer.from(field('name="model"', 'modèle')).toString('latin1')), 'modèle whole'],
  ['stream', form(MODEL, field('name="stream"', 'true')), 'whisper stream'],
  ['stream as Python writes it', form(field('name=stream', 'True')), '- stream'],
  ['stream=1', form(field('name=stream', '1')), '- stream'],
  ['stream=false', form(field('name=stream', 'false')), '- whole'],
  ['stream that begins like true', form(field('name=stream', 'true story')), '- whole'],
  ['model in another field', form(field('name="prompt"', 'name="model"'), field('name="model[]"', 'x')), '- whole'],
  ['model as a file name', form(field('name="file"; filename="model"', 'x')), '- whole'],
  ['a name within a file name', form(field('name="file"; filename="a\\"; name=\\"model"', 'x')), '- whole'],
  ['an empty file', form(FILE, MODEL), 'whisper whole'],
  ['a boundary without its line break', form(`${FILE}a--XX\r\nb`, MODEL), 'whisper whole'],
  ['a boundary without its dashes', form(`${FILE}a\r\nXX\r\nb`, MODEL), 'whisper whole'],
  ['a boundary after a bare line feed', form(`${FILE}a\n--XX\r\n${MODEL}x`, MODEL), 'whisper whole'],
  ['a longer boundary', form(`${FILE}a\r\n--XXY\r\n${MODEL}x\r\n--XXY--`, MODEL), 'whisper whole'],
  ['half a boundary at the end', form(`${FILE}a\r\n--X`, MODEL), 'whisper whole'],
  ['line breaks in a file', form(`${FILE}\r\n\r\n\r\n`, MODEL), 'whisper whole'],
];

for (const [what, body, expected] of READ) {
  test(`a form with ${what} is read`, () => assert.equal(told(body), expected));
}

const REFUSED: [what: string, body: string, expected: string][] = [
  [
    'the model as a file named by RFC 5987',
    form(field('name="model"; filename*=utf-8\'\'m', 'x')),
    'invalid_parameter model',
  ],
  ['a part that some parsers end before its content', `--XX\r\n${FILE}--XX\r\n${MODEL}\r\n--XX--`, 'invalid_parameter'],
  ['nothing', '', 'invalid_parameter'],
  ['JSON', '{"model":"whisper"}', 'invalid_parameter'],
  ['another boundary', form(MODEL).replaceAll('XX', 'YY'), 'invalid_parameter'],
  ['text before the first part', `hello\r\n${form(MODEL)}`, 'invalid_parameter'],
  ['text after the last part', `${form(MODEL)}hello`, 'invalid_parameter'],
  ['parts after the last', form(MODEL) + form(MODEL.replace('whisper', 'other')), 'invalid_parameter'],
  ['bare line feeds', form(MODEL).replaceAll('\r\n', '\n'), 'invalid_parameter'],
  ['no last boundary', form(MODEL).replace('--XX--\r\n', ''), 'invalid_parameter'],
  ['a last boundary cut off', form(MODEL).replace('--XX--\r\n', '--XX'), 'invalid_parameter'],
  ['a part without blank line', '--XX\r\nContent-Disposition: form-data; name="model"\r\n--XX--', 'invalid_parameter'],
  ['a part without headers', form('\r\nwhisper'), 'invalid_parameter'],
  ['a part without name', form(field('filename="a"', 'x')), 'invalid_parameter'],
  ['a part without form-data', form('Content-Disposition: attachment; name="model"\r\n\r\nx'), 'invalid_parameter'],
  ['a part without disposition', form('Content-Type: text/plain\r\n\r\nx'), 'invalid_parameter'],
  [
    'a part cut off before its content',
    '--XX\r\nContent-Disposition: form-data; name="model"\r\n\r\n--XX--',
    'invalid_parameter',
  ],
  ['a header twice', form(`Content-Disposition: form-data; name="a"\r\n${MODEL}`), 'invalid_parameter'],
  ['a name twice', form(field('name="a"; name="model"', 'x')), 'invalid_parameter'],
  ['a folded header', form('Content-Disposition: form-data;\r\n name="model"\r\n\r\nx'), 'invalid_parameter'],
  ['a name that Python alone reads', form(field('name="file"; name*=utf-8\'\'model', 'x')), 'invalid_parameter'],
  ['a name in pieces', form(field('name="file"; name*0=mo; name*1=del', 'x')), 'invalid_parameter'],
  ['a name with escapes', form(field('name="mod\\el"', 'x')), 'invalid_parameter'],
  ['quotes that close for some', form(field('name=file; x="\\\\"; y="; name=model; z="', 'x')), 'invalid_parameter'],
  ['a padded boundary', form(`${FILE}a`, MODEL).replace('a\r\n--XX\r\n', 'a\r\n--XX \r\n'), 'invalid_parameter'],
  ['one dash after a boundary', form(`${FILE}a\r\n--XX-\r\nb`, MODEL), 'invalid_parameter'],
  ['a null in a header', form(field('name="mo\0del"', 'x')), 'invalid_parameter'],
  ['a huge header', form(field('name="model"', 'x', `X-A: ${'a'.repeat(10_000)}`)), 'invalid_parameter'],
  ['very many parts', form(...Array.from({ length: 1_001 }, () => field('name=a', 'x'))), 'invalid_parameter'],
  ['the model twice', form(MODEL, MODEL), 'model_mismatch model'],
  ['the model as a file', form(field('name="model"; filename="m.txt"', 'whisper')), 'invalid_parameter model'],
  ['the model as a nameless file', form(field('name="model"; filename=""', 'whisper')), 'invalid_parameter model'],
  [
    'the model in base64',
    form(field('name="model"', 'd2hpc3Blcg==', 'Content-Transfer-Encoding: base64')),
    'invalid_parameter model',
  ],
  [
    'the model in another charset',
    form(field('name="model"', 'x', 'Content-Type: text/plain; charset=utf-16')),
    'invalid_parameter model',
  ],
  ['the model in latin1', form(field('name="model"', 'mod\xe8le')), 'invalid_parameter model'],
  ['an empty model', form(field('name="model"', '')), 'invalid_parameter model'],
  ['a long model', form(field('name="model"', 'x'.repeat(257))), 'invalid_parameter model'],
  ['a model of two lines', form(field('name="model"', 'a\r\nb')), 'invalid_parameter model'],
];

for (const [what, body, expected] of REFUSED) {
  test(`a form with ${what} is ${expected}`, () => assert.equal(told(body), expected));
}

test('a form is not read without a boundary', () => {
  assert.equal(told(form(MODEL), 'multipart/form-data'), 'invalid_parameter');
  assert.equal(told(form(MODEL), 'application/json'), 'unsupported_media_type');
});

test('as many parts as engines take are read', () => {
  const fields = Array.from({ length: 999 }, () => field('name=a', 'x'));
  assert.equal(told(form(...fields, MODEL)), 'whisper whole');
});

test('lines that only begin like a boundary are passed by, up to a number that is no accident', () => {
  const file = (lines: number) => form(`${FILE}${'\r\n--XXY'.repeat(lines)}`, MODEL);
  assert.equal(told(file(10_000)), 'whisper whole');
  assert.equal(told(file(10_001)), 'invalid_parameter');
  const half = `${FILE}${'\r\n--XXY'.repeat(5_001)}`;
  assert.equal(told(form(half, half)), 'invalid_parameter');
});

const boundary = fc.stringMatching(/^[A-Za-z0-9'()+_,./:=?-]{1,70}$/);

interface Part {
  readonly headers: string;
  readonly content: Buffer;
}

/** Contents made of what delimiters are made of, but that hold none. */
function contents(boundary: string): fc.Arbitrary<Buffer> {
  const piece = fc.oneof(
    fc
      .constantFrom(
        '\r\n',
        '\r',
        '\n',
        '--',
        '-',
        `--${boundary}`,
        `\r\n--${boundary.slice(0, -1)}`,
        boundary,
        '\r\n\r\n',
        '"',
      )
      .map(text => Buffer.from(text)),
    fc.uint8Array({ maxLength: 20 }).map(bytes => Buffer.from(bytes)),
  );
  return fc
    .array(piece, { maxLength: 12 })
    .map(pieces => Buffer.concat(pieces))
    .filter(
      content => !Buffer.concat([Buffer.from('\r\n'), content, Buffer.from('\r\n')]).includes(`\r\n--${boundary}`),
    );
}

/** A form of these parts, as bytes. */
function assemble(boundary: string, parts: readonly Part[]): Buffer {
  const written = parts.flatMap(({ headers, content }) => [
    Buffer.from(`--${boundary}\r\n${headers}\r\n\r\n`),
    content,
    Buffer.from('\r\n'),
  ]);
  return Buffer.concat([...written, Buffer.from(`--${boundary}--\r\n`)]);
}

test('whatever files hold, the model is found, and renaming it changes nothing else', () => {
  const name = fc.constantFrom('whisper', 'openai/whisper-large-v3', 'modèle');
  const random = boundary.chain(boundary =>
    fc.record({
      boundary: fc.constant(boundary),
      files: fc.array(contents(boundary), { maxLength: 3 }),
      position: fc.nat(),
      model: fc.option(name, { nil: undefined }),
      renamed: name,
      isQuoted: fc.boolean(),
    }),
  );
  fc.assert(
    fc.property(random, ({ boundary, files, position, model, renamed, isQuoted }) => {
      const parts: Part[] = files.map(content => ({
        headers: 'Content-Disposition: form-data; name="file"; filename="a"',
        content,
      }));
      const type = `multipart/form-data; boundary=${isQuoted ? `"${boundary}"` : boundary}`;
      const withModel = (name: string, at: number) =>
        assemble(
          boundary,
          parts.toSpliced(at, 0, {
            headers: 'Content-Disposition: form-data; name="model"',
            content: Buffer.from(name),
          }),
        );
      const at = position % (parts.length + 1);
      const body = model === undefined ? assemble(boundary, parts) : withModel(model, at);
      const facts = readMultipartBody(body, type);
      assert.ok(!isRefusal(facts), isRefusal(facts) ? facts.message : '');
      assert.equal(facts.model?.value, model);
      const expected = withModel(renamed, model === undefined ? 0 : at);
      assert.ok(expected.equals(nameModel(body, facts, renamed)));
    }),
    { numRuns: 1_000 },
  );
});

test('where Node reads a damaged form too, it reads the same model', async () => {
  const damages = fc.array(
    fc.tuple(
      fc.nat(),
      fc.nat({ max: 2 }),
      fc.constantFrom('', '\r\n', '\n', '--XX', '"', ';', '\\', ' ', 'name=model', '\r\n--XX\r\n', MODEL),
    ),
    { minLength: 1, maxLength: 4 },
  );
  const start = fc.constantFrom(form(MODEL, `${FILE}RIFF`), form(`${FILE}RIFF`, MODEL), form(`${FILE}RIFF`));
  let both = 0;
  await fc.assert(
    fc.asyncProperty(start, damages, async (start, damages) => {
      let body = start;
      for (const [at, removed, inserted] of damages) {
        const i = at % (body.length + 1);
        body = body.slice(0, i) + inserted + body.slice(i + removed);
      }
      const facts = readMultipartBody(Buffer.from(body), TYPE);
      if (isRefusal(facts)) return;
      const read = await new Response(body, { headers: { 'content-type': TYPE } }).formData().catch(() => undefined);
      if (read === undefined) return;
      both++;
      assert.deepEqual(read.getAll('model'), facts.model === undefined ? [] : [facts.model.value]);
    }),
    { numRuns: 2_000 },
  );
  assert.ok(both > 50, `only ${both} forms were read by both`);
});

test('where the only file is', () => {
  const file = (body: string) => {
    const bytes = Buffer.from(body, 'latin1');
    const facts = readMultipartBody(bytes, TYPE);
    assert.ok(!isRefusal(facts));
    return facts.file && bytes.toString('latin1', facts.file.start, facts.file.end);
  };
  assert.equal(file(form(MODEL, `${FILE}RIFF\0`)), 'RIFF\0');
  assert.equal(file(form(MODEL)), undefined);
  assert.equal(file(form(`${FILE}one`, `${FILE}two`)), undefined);
});
