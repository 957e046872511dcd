import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { create, type MessageInitShape } from '@bufbuild/protobuf';
import fc from 'fast-check';
import { ConsumerSchema } from '../../proto/gen/fairlead/v1/table_pb.js';
import { ConsumerIndex } from './consumer-index.ts';

type Init = MessageInitShape<typeof ConsumerSchema>;

const digest = (byte: number) => Buffer.alloc(32, byte);
const hex = (byte: number) => digest(byte).toString('hex');
const consumer = (init: Init) => create(ConsumerSchema, init);
const ISSUER = 'https://id.example';

function start(consumers: Record<string, Init>) {
  const index = new ConsumerIndex();
  const put = (changed: Record<string, Init>, removedConsumers: string[] = []) =>
    index.apply({
      consumers: Object.entries(changed).map(([key, init]) => [key, consumer(init)] as const),
      removedConsumers,
    });
  put(consumers);
  return { index, put };
}

describe('consumer index', () => {
  test('finds a consumer by key, digest, name and user', () => {
    const { index } = start({
      'ml/alice': { names: ['ml/alice', 'alice'], users: ['al'], apiKeys: [{ sha256: digest(1), expiresAtMs: 5n }] },
      'ml/bob': { names: ['ml/bob'], apiKeys: [{ sha256: digest(2) }, { sha256: digest(3) }] },
    });
    const alice = index.get('ml/alice');
    assert.ok(alice);
    assert.deepEqual([alice.key, alice.name], ['ml/alice', 'alice']);
    assert.deepEqual(index.ofDigest(hex(1)), { consumer: alice, expiresAtMs: 5 });
    for (const name of ['ml/alice', 'alice']) assert.deepEqual([index.named(name), index.ofUser(name)], [alice, alice]);
    assert.deepEqual([index.named('al'), index.ofUser('al')], [undefined, alice]);
    const bob = index.get('ml/bob');
    assert.equal(bob?.name, 'ml/bob', 'the name alone is another’s');
    assert.deepEqual(
      [2, 3].map(byte => index.ofDigest(hex(byte))?.consumer),
      [bob, bob],
    );
    for (const nobody of ['', 'bob', '__proto__', 'constructor']) {
      assert.deepEqual(
        [index.named(nobody), index.ofUser(nobody), index.ofDigest(nobody)],
        [undefined, undefined, undefined],
      );
    }
  });

  test('a name precedes what another lists as a user', () => {
    const { index } = start({ 'ml/a': { names: ['a'], users: ['b'] }, 'ml/b': { names: ['b'] } });
    assert.equal(index.ofUser('b')?.key, 'ml/b');
  });

  test('keys are rotated: the new one beside the old one, then the new one alone', () => {
    const { index, put } = start({ 'ml/a': { apiKeys: [{ sha256: digest(1) }] } });
    const before = index.get('ml/a');
    put({ 'ml/a': { apiKeys: [{ sha256: digest(1) }, { sha256: digest(2) }] } });
    assert.deepEqual(
      [1, 2].map(byte => index.ofDigest(hex(byte))?.consumer.key),
      ['ml/a', 'ml/a'],
    );
    put({ 'ml/a': { apiKeys: [{ sha256: digest(2) }] } });
    assert.deepEqual(
      [1, 2].map(byte => index.ofDigest(hex(byte))?.consumer.key),
      [undefined, 'ml/a'],
    );
    assert.equal(before?.consumer.apiKeys.length, 1, 'the value that a running request holds is as it was');
    put({}, ['ml/a', 'ml/unknown']);
    assert.deepEqual([index.get('ml/a'), index.ofDigest(hex(2))], [undefined, undefined]);
  });

  describe('tokens', () => {
    const matches = (...jwt: NonNullable<Init['jwt']>): Init => ({ jwt });
    const { index } = start({
      'ml/group': matches({ issuer: ISSUER, claims: { groups: 'gpu' } }),
      'ml/alice': matches({ issuer: ISSUER, claims: { sub: 'alice' } }),
      'ml/lab': matches({ issuer: ISSUER, claims: { 'org.team': 'lab', groups: 'gpu' } }),
      'ml/zoe': matches(
        { issuer: 'https://other.example', claims: { sub: 'zoe' } },
        { issuer: ISSUER, claims: { sub: '7' } },
      ),
      'ml/all': matches({ issuer: ISSUER, claims: {} }),
    });
    const cases = [
      ['its subject', { sub: 'alice' }, 'ml/alice'],
      ['one of a list', { groups: ['x', 'gpu'] }, 'ml/group'],
      ['every claim of a match', { groups: ['gpu'], org: { team: 'lab' } }, 'ml/lab'],
      ['only a part of a match', { org: { team: 'lab' } }, undefined],
      ['a subject and a group', { sub: 'alice', groups: ['gpu'] }, 'ml/alice'],
      ['most claims before the subject', { sub: 'alice', groups: ['gpu'], org: { team: 'lab' } }, 'ml/lab'],
      ['a number', { sub: 7 }, 'ml/zoe'],
      ['another issuer’s subject', { sub: 'zoe' }, undefined],
      ['no claim', {}, undefined],
    ] as const;
    for (const [name, claims, key] of cases) {
      test(`by ${name}: ${key ?? 'nobody'}`, () => assert.equal(index.ofToken(ISSUER, claims)?.key, key));
    }

    test('an issuer that nobody names knows nobody', () => {
      assert.equal(index.ofToken('', { sub: 'alice' }), undefined);
    });
  });

  test('a claim that all consumers have in common makes neither a change nor a request slow', () => {
    const { index, put } = start({});
    const keys = Array.from({ length: 20_000 }, (_, at) => `ml/c${at}`);
    put(Object.fromEntries(keys.map(key => [key, { jwt: [{ issuer: ISSUER, claims: { org: 'acme', team: key } }] }])));
    for (const key of keys) assert.equal(index.ofToken(ISSUER, { org: 'acme', team: key })?.key, key);
    put({}, keys);
    assert.equal(index.ofToken(ISSUER, { org: 'acme', team: 'ml/c0' }), undefined);
  });

  test('is the same after any sequence of changes as after their sum; of two the first by key keeps what both have', () => {
    const key = fc.constantFrom('ml/a', 'ml/b', 'ml/c');
    const some = <T>(...values: T[]) => fc.uniqueArray(fc.constantFrom(...values));
    const init = fc.record({
      names: some('x', 'y'),
      users: some('x', 'z'),
      apiKeys: some(1, 2, 3).map(bytes => bytes.map(byte => ({ sha256: digest(byte) }))),
      jwt: fc.array(
        fc.record({
          issuer: fc.constant(ISSUER),
          claims: fc.dictionary(fc.constantFrom('sub', 'g'), fc.constantFrom('1', '2')),
        }),
      ),
    });
    const seen = (index: ConsumerIndex) => [
      ['x', 'y', 'z'].map(name => [index.named(name)?.key, index.ofUser(name)?.key]),
      [1, 2, 3].map(byte => index.ofDigest(hex(byte))?.consumer.key),
      ['1', '2', '3'].flatMap(sub => ['1', '2'].map(g => index.ofToken(ISSUER, { sub, g })?.key)),
    ];
    fc.assert(
      fc.property(fc.array(fc.tuple(key, fc.option(init)), { maxLength: 20 }), steps => {
        const grown = start({});
        const left: Record<string, Init> = {};
        for (const [key, init] of steps) {
          delete left[key];
          if (init !== null) left[key] = init;
          grown.put(init === null ? {} : { [key]: init }, init === null ? [key] : []);
        }
        const fresh = start(left);
        assert.deepEqual(seen(grown.index), seen(fresh.index));
        for (const byte of [1, 2, 3]) {
          const holders = Object.keys(left).filter(key =>
            left[key]?.apiKeys?.some(({ sha256 }) => sha256?.[0] === byte),
          );
          assert.equal(fresh.index.ofDigest(hex(byte))?.consumer.key, holders.sort()[0]);
        }
      }),
      { numRuns: 300 },
    );
  });
});
