import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { LineSplitter } from './lines.ts';

function linesOf(chunks: readonly string[]): string[] {
  const lines: string[] = [];
  const splitter = new LineSplitter(line => lines.push(line));
  for (const chunk of chunks) splitter.push(chunk);
  splitter.end();
  return lines;
}

test('lines do not depend on how the text came in chunks, and the last needs no end', () => {
  fc.assert(
    fc.property(fc.array(fc.string({ unit: fc.constantFrom('a', 'b', '\n') })), chunks => {
      const whole = chunks.join('');
      assert.deepEqual(
        linesOf(chunks),
        whole.split('\n').filter(line => line !== ''),
      );
    }),
  );
});

test('a line without end is told in pieces, and nothing is lost', () => {
  const chunks = Array.from({ length: 300 }, () => 'x'.repeat(1_000));
  const lines = linesOf([...chunks, '\nshort']);
  assert.equal(lines.at(-1), 'short');
  assert.equal(lines.slice(0, -1).join(''), chunks.join(''));
  for (const line of lines) assert.ok(line.length <= 65_536);
});
