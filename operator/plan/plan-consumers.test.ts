import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, test } from 'node:test';
import { BudgetPeriod, LimitEach, LimitUnit } from '../../proto/gen/fairlead/v1/table_pb.js';
import type { ClusterState, SecretContent } from '../source/cluster-state.ts';
import { type Plan, plan } from './plan.ts';
import { byKey, clusterState, consumer, inferenceGateway, modelDeployment } from './test-state.fixture.ts';

const inCluster = { standalone: false };

const keysAsked = inferenceGateway('ml/gateway', { authentication: { mode: 'apiKeys' } });

function digest(key: string): string {
  return createHash('sha256').update(key).digest('hex');
}

function holding(values: Record<string, string>): SecretContent {
  return { data: Object.fromEntries(Object.entries(values).map(([key, value]) => [key, Buffer.from(value)])) };
}

function stateOf(
  consumers: readonly ReturnType<typeof consumer>[],
  rest: Partial<Pick<ClusterState, 'gateways' | 'secrets'>> = {},
  models: readonly ReturnType<typeof modelDeployment>[] = [],
): ClusterState {
  return clusterState(models, [], { gateways: [keysAsked], consumers: byKey(consumers), ...rest });
}

/** A condition in short; empty where there is none. */
function condition(planned: Plan, key: string, type: string): string {
  const found = planned.consumerStatuses.get(key)?.conditions.find(one => one.type === type);
  return found === undefined ? '' : `${found.status} ${found.reason}: ${found.message}`;
}

const digests = (planned: Plan, key: string) =>
  planned.consumers.get(key)?.apiKeys.map(({ sha256 }) => Buffer.from(sha256).toString('hex'));

test('a Consumer comes into the table as it was declared', () => {
  const spec = {
    apiKeys: [{ name: 'laptop', sha256: digest('one'), expires: '2027-01-01T00:00:00Z' }, { sha256: digest('two') }],
    jwt: [{ issuer: 'https://id.example.com', subject: 'abc', claims: { 'org.team': 'a' } }],
    users: ['alice'],
    models: ['llama', 'meta/*'],
    limits: [
      { tokens: 200_000, per: 'minute', model: 'llama', each: ['user'], shadow: true },
      { concurrency: 8, endpoint: 'chat' },
    ],
    budget: { amount: '100.5', currency: 'EUR', period: 'month', timeZone: 'Europe/Paris' },
    explain: { allow: true },
  };
  const message = plan(stateOf([consumer('ml/a', spec)]), { standalone: true }).consumers.get('ml/a');
  assert.ok(message !== undefined);
  assert.deepEqual(message.names, ['ml/a', 'a']);
  assert.deepEqual(
    message.apiKeys.map(({ name, expiresAtMs }) => [name, Number(expiresAtMs)]),
    [
      ['laptop', Date.UTC(2027, 0, 1)],
      ['', 0],
    ],
  );
  assert.deepEqual(message.jwt[0]?.claims, { sub: 'abc', 'org.team': 'a' });
  assert.deepEqual([message.users, message.models?.patterns], [['alice'], ['llama', 'meta/*']]);
  const [tokens, concurrency] = message.limits;
  assert.deepEqual(
    [tokens?.unit, tokens?.amount, tokens?.periodSeconds, tokens?.models, tokens?.each, tokens?.shadow],
    [LimitUnit.LIMIT_TOKENS, 200_000n, 60, ['llama'], [LimitEach.USER], true],
  );
  assert.deepEqual(
    [concurrency?.unit, concurrency?.amount, concurrency?.periodSeconds, concurrency?.endpoints],
    [LimitUnit.LIMIT_CONCURRENCY, 8n, 0, ['chat/completions']],
  );
  const { amount, currency, period, timeZone, warnPercent } = message.budget ?? {};
  assert.deepEqual(
    [amount, currency, period, timeZone, warnPercent],
    [100_500_000_000n, 'EUR', BudgetPeriod.MONTH, 'Europe/Paris', 80],
  );
  assert.equal(message.explainAllowed, true);
});

test('a Consumer that says nothing may use every model, one with an empty list none', () => {
  const planned = plan(stateOf([consumer('ml/a'), consumer('ml/b', { models: [] })]), inCluster);
  assert.equal(planned.consumers.get('ml/a')?.models, undefined);
  assert.deepEqual(planned.consumers.get('ml/b')?.models?.patterns, []);
});

describe('a key in a Secret', () => {
  const declared = consumer('ml/a', {
    apiKeys: [{ secretRef: { name: 'key' } }, { secretRef: { name: 'other', key: 'k' } }, { sha256: digest('own') }],
  });
  const planned = (key: SecretContent | undefined) =>
    plan(
      stateOf([declared], {
        secrets: new Map([
          ['ml/other', holding({ k: 'two' })],
          ...(key === undefined ? [] : [['ml/key', key] as const]),
        ]),
      }),
      inCluster,
    );
  for (const stored of ['one', 'one\n', 'one\r\n']) {
    test(`is known by its digest: ${JSON.stringify(stored)}`, () => {
      const found = planned(holding({ 'api-key': stored }));
      assert.deepEqual(digests(found, 'ml/a'), [digest('one'), digest('two'), digest('own')]);
      assert.equal(condition(found, 'ml/a', 'ResolvedRefs'), 'True ResolvedRefs: ');
      assert.equal(found.secrets.size, 0, 'no gateway is told the key itself');
    });
  }
  for (const [what, content, problem] of [
    ['not read yet', undefined, 'not read yet'],
    ['missing', { failure: 'not found' }, 'not found'],
    ['without the value', holding({ other: 'x' }), 'no key "api-key"'],
    ['empty', holding({ 'api-key': '\n' }), '"api-key" is empty'],
    [
      'of two lines',
      holding({ 'api-key': 'one\ntwo\n' }),
      '"api-key" has a space or a line end in it, which no key has',
    ],
    ['in words', holding({ 'api-key': 'my key' }), '"api-key" has a space or a line end in it, which no key has'],
    ['too long', holding({ 'api-key': 'x'.repeat(513) }), '"api-key" is longer than a key may be: 512 bytes'],
  ] as const) {
    test(`that is ${what} is told of, and the other keys count`, () => {
      const found = planned(content);
      assert.deepEqual(digests(found, 'ml/a'), [digest('two'), digest('own')]);
      assert.equal(
        condition(found, 'ml/a', 'ResolvedRefs'),
        `False InvalidSecretRef: spec.apiKeys[0]: secret ml/key: ${problem}; nobody gets in by this key until then`,
      );
      assert.equal(condition(found, 'ml/a', 'Accepted'), 'True Accepted: ');
    });
  }
});

test('of a key that a Consumer has twice the end that comes first counts', () => {
  const secretRef = { name: 'key' };
  const [early, late] = ['2027-01-01T00:00:00Z', '2028-01-01T00:00:00Z'];
  const secrets = new Map([['ml/key', holding({ 'api-key': 'one' })]]);
  for (const [one, other] of [
    [early, late],
    [late, early],
    [undefined, early],
    [early, undefined],
  ]) {
    const apiKeys = [
      { sha256: digest('one'), ...(one && { expires: one }) },
      { secretRef, ...(other && { expires: other }) },
    ];
    const planned = plan(stateOf([consumer('ml/a', { apiKeys })], { secrets }), inCluster);
    assert.deepEqual(
      planned.consumers.get('ml/a')?.apiKeys.map(({ expiresAtMs }) => Number(expiresAtMs)),
      [Date.parse(early)],
    );
  }
});

describe('a Consumer is refused', () => {
  const refused = (key: string, ...consumers: readonly ReturnType<typeof consumer>[]) => {
    const planned = plan(stateOf(consumers), inCluster);
    assert.equal(planned.consumers.has(key), false);
    return condition(planned, key, 'Accepted');
  };

  test('for a key of an older one, also where that is in a Secret, without showing any of it', () => {
    const older = consumer('ml/a', { apiKeys: [{ secretRef: { name: 'key' } }] }, 0);
    const younger = consumer('prod/b', { apiKeys: [{ sha256: digest('one') }] }, 1);
    const secrets = new Map([['ml/key', holding({ 'api-key': 'one' })]]);
    const planned = plan(stateOf([younger, older], { secrets }), inCluster);
    assert.equal(
      condition(planned, 'prod/b', 'Accepted'),
      'False KeyConflict: spec.apiKeys[0] is a key of ml/a since 1970-01-01T00:00:00.000Z: give each Consumer keys of its own',
    );
    const later = plan(stateOf([younger, older]), inCluster, planned);
    assert.equal(condition(later, 'prod/b', 'Accepted'), 'True Accepted: ');
  });

  test('for a user or the tokens of an older one', () => {
    const jwt = [{ issuer: 'https://id', subject: 'x', claims: { team: 'y' } }];
    const same = [{ issuer: 'https://id', claims: { team: 'y', sub: 'x' } }];
    assert.match(
      refused('ml/b', consumer('ml/a', { jwt }), consumer('ml/b', { jwt: same }, 1)),
      /^False NameConflict: /,
    );
    const users = [consumer('ml/a', { users: ['u'] }), consumer('ml/b', { users: ['x'], userHeader: 'u' }, 1)];
    const open = plan(stateOf(users, { gateways: [] }), inCluster);
    assert.match(
      condition(open, 'ml/b', 'Accepted'),
      /^False NameConflict: spec\.userHeader is a name of ml\/a since /,
    );
    const asking = plan(stateOf(users), inCluster, open);
    assert.equal(
      condition(asking, 'ml/b', 'Accepted'),
      'True Accepted: spec.userHeader: `u` means ml/a: take it out',
      'where it makes nobody another, it costs nobody his key',
    );
    assert.deepEqual(asking.consumers.get('ml/b')?.users, ['x']);
  });

  test('for a budget that would not outlive a restart', () => {
    const declared = consumer('ml/a', { budget: { amount: '1', currency: 'EUR', period: 'day' } });
    assert.match(refused('ml/a', declared), /^False BudgetNeedsStore: .*limits\.store: valkey/);
    const valkey = inferenceGateway('ml/gateway', { limits: { store: 'valkey', valkey: { url: 'valkey://v:6379' } } });
    assert.ok(plan(stateOf([declared], { gateways: [valkey] }), inCluster).consumers.has('ml/a'));
    assert.ok(plan(stateOf([declared]), { standalone: true }).consumers.has('ml/a'));
  });
});

describe('it is suspicious', () => {
  const told = (state: ClusterState, standalone = true) =>
    plan(state, { standalone }).warnings.map(({ kind, resource, reason }) => `${kind} ${resource} ${reason}`);
  const priced = (name: string, currency: string) =>
    modelDeployment(`ml/${name}`, {
      pricing: { currency, perRequest: '1' },
      backends: [{ name: 'x', endpoints: ['10.0.0.1:1'] }],
    });
  const budget = { amount: '1', currency: 'EUR', period: 'day' };

  test('that it lost its short name to a namesake', () => {
    const planned = plan(stateOf([consumer('ml/a'), consumer('prod/a', {}, 1)]), inCluster);
    assert.equal(
      condition(planned, 'prod/a', 'Accepted'),
      'True Accepted: metadata.name: `a` alone means ml/a: this one is known as `prod/a`',
    );
  });

  test("that keys are nobody's to ask for", () => {
    const state = stateOf([consumer('ml/a', { apiKeys: [{ sha256: digest('x') }] })], { gateways: [] });
    assert.deepEqual(told(state), ['Consumer ml/a CredentialsIgnored']);
  });

  test('that tokens are of an issuer whom the gateway does not know', () => {
    const authentication = { mode: 'jwt', jwt: [{ issuer: 'https://id', jwksUrl: 'https://id/keys' }] };
    const gateways = [inferenceGateway('ml/gateway', { authentication })];
    const jwt = ['https://id', 'https://di'].map(issuer => ({ issuer, subject: 'x' }));
    const planned = plan(stateOf([consumer('ml/a', { jwt })], { gateways }), inCluster);
    assert.deepEqual(
      planned.warnings.map(({ reason, path }) => [reason, path.join('.')]),
      [['UnknownIssuer', 'spec.jwt.1.issuer']],
    );
    assert.match(condition(planned, 'ml/a', 'Accepted'), /^True Accepted: spec\.jwt\[1\]\.issuer: /);
  });

  test('that a budget is in another currency than prices', () => {
    const models = [priced('a', 'EUR'), priced('b', 'USD'), priced('c', 'USD')];
    assert.deepEqual(told(stateOf([consumer('ml/a', { budget })], {}, models)), ['Consumer ml/a CurrencyMismatch']);
    assert.deepEqual(told(stateOf([consumer('ml/a', { budget })], {}, models.slice(0, 1))), []);
    const mayUse = (...patterns: string[]) =>
      told(stateOf([consumer('ml/a', { budget, models: patterns })], {}, models)).length;
    for (const patterns of [['b'], ['*'], ['x', 'c*'], ['*c']]) assert.equal(mayUse(...patterns), 1, patterns.join());
    for (const patterns of [[], ['a'], ['bb'], ['b*b']]) assert.equal(mayUse(...patterns), 0);
  });

  test('that nobody may call', () => {
    const planned = plan(stateOf([]), inCluster);
    assert.deepEqual(
      planned.warnings.map(({ kind, reason }) => [kind, reason]),
      [['InferenceGateway', 'NobodyMayCall']],
    );
    assert.match(planned.gatewayStatuses.get('ml/gateway')?.conditions[0]?.message ?? '', /nobody may call/);
    assert.deepEqual(plan(stateOf([consumer('ml/a')]), inCluster, planned).warnings, []);
  });
});

describe('after another plan', () => {
  const consumers = ['a', 'b', 'c'].map((name, index) =>
    consumer(`ml/${name}`, { apiKeys: [{ sha256: digest(name) }] }, index),
  );
  const changed = <Value>(one: ReadonlyMap<string, Value>, other: ReadonlyMap<string, Value>) =>
    [...new Set([...one.keys(), ...other.keys()])].filter(key => one.get(key) !== other.get(key));

  test('of the same state, all is the same objects', () => {
    const before = plan(stateOf(consumers), inCluster);
    const again = plan(stateOf(consumers), inCluster, before);
    for (const part of [
      'gateway',
      'consumers',
      'consumerStatuses',
      'secrets',
      'gatewayStatuses',
      'warnings',
    ] as const) {
      assert.equal(again[part], before[part], part);
    }
  });

  test('one Consumer that changed is one message', () => {
    const before = plan(stateOf(consumers), inCluster);
    const edited = consumers.map(one => (one.name === 'b' ? consumer('ml/b', { models: [] }, 1) : one));
    const after = plan(stateOf(edited), inCluster, before);
    assert.deepEqual(changed(before.consumers, after.consumers), ['ml/b']);
    assert.deepEqual(changed(before.consumerStatuses, after.consumerStatuses), ['ml/b']);
    const gone = plan(stateOf(edited.slice(1)), inCluster, after);
    assert.deepEqual([gone.consumers.has('ml/a'), gone.consumerStatuses.has('ml/a')], [false, false]);
  });

  test('a short name comes free when its holder goes', () => {
    const namesake = consumer('prod/a', {}, 9);
    const before = plan(stateOf([...consumers, namesake]), inCluster);
    assert.deepEqual(before.consumers.get('prod/a')?.names, ['prod/a']);
    const after = plan(stateOf([...consumers.slice(1), namesake]), inCluster, before);
    assert.deepEqual(after.consumers.get('prod/a')?.names, ['prod/a', 'a']);
  });

  test('ten thousand of them are planned one by one', () => {
    const many = Array.from({ length: 10_000 }, (_, index) =>
      consumer(`ml/c-${index}`, { apiKeys: [{ sha256: digest(String(index)) }] }, index),
    );
    const before = plan(stateOf(many), inCluster);
    const [first, ...others] = many;
    const edited = [{ ...(first ?? many[0]!), spec: consumer('ml/c-0', { models: [] }).spec }, ...others];
    const after = plan(stateOf(edited), inCluster, before);
    assert.equal(after.consumers.size, many.length);
    assert.deepEqual(changed(before.consumers, after.consumers), ['ml/c-0']);
  });
});
