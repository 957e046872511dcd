import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { spellPath } from '../../crds/field-problem.ts';
import { readSecret } from './secret-document.ts';
import { ReferencedSecrets } from './secret-references.ts';

const metadata = { name: 's' };

function dataOf(document: Record<string, unknown>): Record<string, string> {
  const { data = {} } = readSecret(document).value ?? {};
  return Object.fromEntries(Object.entries(data).map(([key, bytes]) => [key, Buffer.from(bytes).toString()]));
}

describe('a Secret as a document', () => {
  test('holds base64, in lines or not, and text as it is, which goes before', () => {
    const data = { a: 'b25l', b: 'dH\ndv\r\n', c: '' };
    assert.deepEqual(dataOf({ metadata, data, stringData: { a: 'three', d: 'ü' } }), {
      a: 'three',
      b: 'two',
      c: '',
      d: 'ü',
    });
    assert.deepEqual(readSecret({ metadata, data: null }).value, { namespace: 'default', name: 's', data: {} });
  });

  test('that is wrong is told by field, and never by value', () => {
    const secret = 'hunter2';
    const { problems = [] } = readSecret({
      metadata: { namespace: 7 },
      data: { plain: `${secret}!`, number: 12_345, cut: 'b25' },
      stringData: { list: [secret], number: 12_345 },
    });
    assert.deepEqual(
      problems.map(({ path, message }) => `${spellPath(path)}: ${message}`),
      [
        'metadata.name: expected the name of the Secret',
        'metadata.namespace: expected a namespace',
        ...['plain', 'number', 'cut'].map(
          key => `data.${key}: expected a string in base64; text as it is belongs in \`stringData\``,
        ),
        'stringData.list: expected a string',
        'stringData.number: expected a string',
      ],
    );
    assert.deepEqual(
      readSecret({ metadata, data: secret, stringData: [secret] }).problems?.map(({ message }) => message),
      ['expected a mapping', 'expected a mapping'],
    );
  });
});

test('referenced contents that say the same stay the same objects', () => {
  const secrets = new ReferencedSecrets();
  const references = new Map([['ml/a', new Set(['k'])]]);
  const content = (text: string) => ({ data: { k: new Uint8Array(Buffer.from(text)) } });
  const first = secrets.read(references, () => content('1'));
  assert.equal(
    secrets.read(references, () => content('1')),
    first,
  );
  const second = secrets.read(references, () => content('2'));
  assert.notEqual(second, first);
  assert.equal(secrets.read(references, () => undefined).size, 0);
  assert.equal(secrets.read(new Map(), () => content('2')).size, 0);
});
