import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import fc from 'fast-check';
import { readFailure } from '../../api/api-failure.ts';
import { readWatchEvent } from './watch-event.ts';

const metadata = {
  namespace: 'ml',
  name: 'a',
  uid: 'u',
  resourceVersion: '7',
  creationTimestamp: '2026-01-01T00:00:00Z',
};
const object = { metadata, spec: { x: 1 } };
const status = { kind: 'Status', code: 410, message: 'too old resource version: 1 (5)' };

const LINES: readonly [what: string, line: unknown, event: object][] = [
  ['an object that is new', { type: 'ADDED', object }, { kind: 'set', object }],
  ['an object that changed', { type: 'MODIFIED', object }, { kind: 'set', object }],
  ['an object that is gone', { type: 'DELETED', object }, { kind: 'removed', object }],
  [
    'a bookmark',
    { type: 'BOOKMARK', object: { metadata: { resourceVersion: '9' } } },
    { kind: 'bookmark', resourceVersion: '9', listed: false },
  ],
  [
    'the end of a streamed list',
    {
      type: 'BOOKMARK',
      object: { metadata: { resourceVersion: '9', annotations: { 'k8s.io/initial-events-end': 'true' } } },
    },
    { kind: 'bookmark', resourceVersion: '9', listed: true },
  ],
  [
    'a failure',
    { type: 'ERROR', object: status },
    { kind: 'failure', failure: { code: 410, message: status.message } },
  ],
  ['a failure without words', { type: 'ERROR' }, { kind: 'failure', failure: { code: 500, message: 'status 500' } }],
  ['a type that is none', { type: 'RENAMED', object }, { kind: 'malformed' }],
  [
    'an object without a version',
    { type: 'ADDED', object: { metadata: { name: 'a', uid: 'u' } } },
    { kind: 'malformed' },
  ],
  [
    'an object without a name',
    { type: 'ADDED', object: { metadata: { resourceVersion: '1' } } },
    { kind: 'malformed' },
  ],
  ['half an event', '{"type":"ADDED","obj', { kind: 'malformed' }],
];

suite('a line of a watch', () => {
  for (const [what, line, event] of LINES) {
    test(what, () => assert.deepEqual(readWatchEvent(typeof line === 'string' ? line : JSON.stringify(line)), event));
  }

  test('never throws', () => {
    fc.assert(fc.property(fc.oneof(fc.json(), fc.string()), line => assert.ok(readWatchEvent(line).kind)));
  });
});

test('a failure says how long to stay away', () => {
  const told = { code: 429, message: 'too many requests', details: { retryAfterSeconds: 3 } };
  assert.deepEqual(readFailure(told, 429), { code: 429, message: 'too many requests', retryAfterMs: 3_000 });
});
