import assert from 'node:assert/strict';
import { test } from 'node:test';
import { inferenceGateway } from '../plan/test-state.fixture.ts';
import { GatewayMemory } from './closed-gateway.ts';

const asking = (createdAtMs: number) => inferenceGateway('ml/a', { authentication: { mode: 'apiKeys' } }, createdAtMs);
const open = (createdAtMs: number) => inferenceGateway('ml/b', {}, createdAtMs);
const refused = (createdAtMs: number) => ({
  key: 'ml/broken',
  createdAtMs,
  origin: { kind: 'object', uid: 'u' } as const,
});

type Seen = readonly [gateways: readonly ReturnType<typeof open>[], refused: readonly ReturnType<typeof refused>[]];

const CASES: Readonly<Record<string, readonly [...seen: (readonly [Seen, string])[]]>> = {
  'none was ever declared: it is open': [[[[], []], '']],
  'one that asked and is gone closes until there is another': [
    [[[asking(1)], []], ''],
    [[[], []], 'gone ml/a'],
    [[[open(9)], []], ''],
    [[[], []], ''],
  ],
  'one that was open and is gone leaves it open': [
    [[[open(1)], []], ''],
    [[[], []], ''],
  ],
  'one that never could be read closes, and is missed when it is deleted': [
    [[[], [refused(1)]], 'refused ml/broken'],
    [[[], []], 'gone ml/broken'],
  ],
  'one that never could be read goes before a younger one': [[[[open(2)], [refused(1)]], 'refused ml/broken']],
  'of two equally old ones the broken one decides': [[[[open(1)], [refused(1)]], 'refused ml/broken']],
  'an older one goes before what cannot be read': [[[[open(1)], [refused(2)]], '']],
  'a younger one takes over from one that is deleted': [
    [[[asking(1), open(2)], []], ''],
    [[[open(2)], []], ''],
  ],
};

for (const [what, seen] of Object.entries(CASES)) {
  test(what, () => {
    const memory = new GatewayMemory();
    for (const [[gateways, broken], expected] of seen) {
      const { why = '', key = '' } = memory.read(gateways, broken) ?? {};
      assert.equal(`${why} ${key}`.trim(), expected);
      assert.equal(memory.read([...gateways], [...broken]), memory.read(gateways, broken), 'the same object');
    }
  });
}
