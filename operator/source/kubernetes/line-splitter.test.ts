import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import fc from 'fast-check';
import { LineSplitter } from './line-splitter.ts';

suite('lines of a stream', () => {
  test('are the same however the bytes are cut', () => {
    const line = fc.string({ unit: 'grapheme', maxLength: 20 }).map(text => text.replaceAll('\n', ''));
    const cuts = fc.array(fc.nat(200), { maxLength: 20 });
    fc.assert(
      fc.property(fc.array(line, { maxLength: 10 }), line, cuts, (lines, begun, at) => {
        const bytes = Buffer.from([...lines, begun].join('\n'));
        const places = [0, ...at.map(place => Math.min(place, bytes.length)), bytes.length].sort((a, b) => a - b);
        const splitter = new LineSplitter();
        const got = places.slice(1).flatMap((end, index) => splitter.push(bytes.subarray(places[index], end)));
        assert.deepEqual(got, lines);
      }),
    );
  });

  test('may not go on for ever', () => {
    const splitter = new LineSplitter();
    const chunk = Buffer.alloc(1_048_576, 'a');
    assert.throws(() => {
      for (let count = 0; count < 40; count++) splitter.push(chunk);
    }, /a line of more than/);
  });
});
