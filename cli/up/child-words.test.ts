import assert from 'node:assert/strict';
import { test } from 'node:test';
import { graveEnvoyLine, graveEvent, reasonIn } from './child-words.ts';

const at = '2026-01-01T00:00:00.000Z';

const EVENTS: readonly (readonly [object, string | undefined])[] = [
  [{ level: 'info', time: at, event: 'table.applied', version: '1' }, undefined],
  [{ level: 'warn', time: at, event: 'table.disconnected', reason: 'gone' }, 'table.disconnected: gone'],
  [
    { level: 'warn', time: at, event: 'table.refused', type: 'Model', message: 'no id' },
    'table.refused: no id (type Model)',
  ],
  [
    {
      level: 'error',
      time: at,
      event: 'exchange.failed',
      err: { type: 'TypeError', message: 'x', stack: 'TypeError' },
    },
    'exchange.failed: x',
  ],
  [{ level: 'error', time: at, event: 'envoy.refused', resource: 'listener http', message: 'taken' }, undefined],
  [{ level: 'fatal', event: 'odd' }, 'odd'],
];

for (const [event, words] of EVENTS) {
  const line = JSON.stringify(event);
  test(`${line} is told as: ${words ?? 'nothing'}`, () => assert.equal(graveEvent(line), words));
}

test('what is no event is nothing to tell', () => {
  for (const line of ['    at main (file.ts:1:1)', '{', '{"level"', '"warn"', ''])
    assert.equal(graveEvent(line), undefined);
});

test('of Envoy, what is grave and not reported by the agent', () => {
  assert.equal(graveEnvoyLine("error config listener 'http' failed to bind"), undefined);
  assert.equal(graveEnvoyLine('warning main a warning'), undefined);
  assert.equal(graveEnvoyLine('critical main out of memory'), 'out of memory');
  assert.equal(graveEnvoyLine('error misc odd'), 'odd');
});

const ENDS: readonly (readonly [readonly string[], string | undefined])[] = [
  [['a serves m', 'fairlead: 127.0.1.11:8000 is taken'], '127.0.1.11:8000 is taken'],
  [
    [
      'file.ts:3',
      "  throw new TypeError('x')",
      '  ^',
      '',
      'TypeError: x is not',
      '    at f (file.ts:3)',
      'Node.js v24',
    ],
    'TypeError: x is not',
  ],
  [['Error [ERR_X]: no', 'Node.js v24'], 'Error [ERR_X]: no'],
  [
    ['critical main error initializing configuration: bad', 'info main exiting'],
    'error initializing configuration: bad',
  ],
  [['{"level":"fatal","event":"agent.failed","message":"no"}'], 'agent.failed: no'],
  [['all is well'], undefined],
  [[], undefined],
];

for (const [lines, reason] of ENDS) {
  test(`the reason in ${JSON.stringify(lines)} is ${reason}`, () => assert.equal(reasonIn(lines), reason));
}
