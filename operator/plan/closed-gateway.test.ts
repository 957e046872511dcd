import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AuthenticationMode } from '../../proto/gen/fairlead/v1/table_pb.js';
import type { ClosedGateway } from '../source/cluster-state.ts';
import { plan } from './plan.ts';
import { byKey, clusterState, consumer, inferenceGateway } from './test-state.fixture.ts';

const closed: ClosedGateway = { why: 'refused', key: 'ml/broken', origin: { kind: 'object', uid: 'u' } };
const younger = inferenceGateway('ml/younger', { listeners: [{ name: 'http', port: 9000 }] }, 5);
const consumers = byKey([
  consumer('ml/alice', {
    apiKeys: [{ sha256: 'a'.repeat(64) }],
    budget: { amount: '1', currency: 'EUR', period: 'day' },
  }),
]);

for (const standalone of [true, false]) {
  test(`while nobody knows who may call, nobody may${standalone ? ', on one machine' : ''}`, () => {
    const planned = plan(clusterState([], [], { closed, gateways: [younger], consumers }), { standalone });
    const { authentication, listeners } = planned.gateway;
    assert.equal(authentication?.mode, AuthenticationMode.AUTHENTICATION_MODE_UNSPECIFIED);
    assert.deepEqual(
      listeners.map(({ port }) => port),
      [8888],
      'on the default listener',
    );
    const [accepted] = planned.gatewayStatuses.get('ml/younger')?.conditions ?? [];
    assert.equal(accepted?.reason, 'GatewayConflict');
    assert.match(accepted?.message ?? '', /ml\/broken is older/);
    assert.ok(planned.consumers.has('ml/alice'), 'what depends on the gateway is not held against Consumers');
    assert.deepEqual(planned.warnings, []);
  });
}

test('it closes and opens with the state, and is the same object while that stays', () => {
  const open = clusterState([], [], { gateways: [younger], consumers });
  const first = plan(open, { standalone: false });
  const shut = plan({ ...open, closed }, { standalone: false }, first);
  assert.equal(shut.gateway.authentication?.mode, AuthenticationMode.AUTHENTICATION_MODE_UNSPECIFIED);
  assert.equal(
    plan({ ...open, closed: { ...closed, why: 'gone' } }, { standalone: false }, shut).gateway,
    shut.gateway,
  );
  assert.equal(plan(open, { standalone: false }).gateway.authentication?.mode, AuthenticationMode.AUTHENTICATION_NONE);
});
