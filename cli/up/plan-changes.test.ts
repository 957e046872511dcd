import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Plan, plan } from '../../operator/plan/plan.ts';
import {
  byKey,
  clusterState,
  consumer,
  inferenceGateway,
  modelDeployment,
  pod,
} from '../../operator/plan/test-state.fixture.ts';
import { planChanges } from './plan-changes.ts';

type State = Parameters<typeof plan>[0];
const STANDALONE = { standalone: true };

function changes(...states: readonly State[]): string[] {
  let before: Plan | undefined;
  let told: string[] = [];
  for (const state of states) {
    const next = plan(state, STANDALONE, before);
    if (before) told = planChanges(before, next);
    before = next;
  }
  return told;
}

const LLAMA = modelDeployment('ml/llama');
const QWEN = modelDeployment('ml/qwen', { model: 'acme/qwen' });
const PODS = [
  pod('ml/l-0', 'llama', '10.0.0.1'),
  pod('ml/l-1', 'llama', '10.0.0.2'),
  pod('ml/q-0', 'qwen', '10.0.0.3'),
];
const BEFORE = clusterState([LLAMA, QWEN], PODS);

const CASES: Readonly<Record<string, readonly [State, readonly string[]]>> = {
  nothing: [clusterState([LLAMA, QWEN], PODS), []],
  'a model that came': [
    clusterState([LLAMA, QWEN, modelDeployment('ml/bge', { version: '2' })], PODS),
    ['+ bge@2  0/0'],
  ],
  'a model that went': [clusterState([QWEN], PODS), ['− llama']],
  'a pod that went': [clusterState([LLAMA, QWEN], PODS.slice(1)), ['~ llama  2/2 → 1/1']],
  'a pod in place of another': [
    clusterState([LLAMA, QWEN], [...PODS.slice(0, 2), pod('ml/q-1', 'qwen', '10.0.0.4')]),
    ['~ acme/qwen  1/1'],
  ],
  'a setting': [clusterState([modelDeployment('ml/llama', { aliases: ['big'] }), QWEN], PODS), ['~ llama  2/2']],
  'a name: the old one is gone': [
    clusterState([LLAMA, modelDeployment('ml/qwen', { model: 'acme/qwen3' })], PODS),
    ['− acme/qwen', '+ acme/qwen3  1/1'],
  ],
  'the gateway': [
    clusterState([LLAMA, QWEN], PODS, { gateways: [inferenceGateway('ml/gateway', { admin: { port: 9 } })] }),
    ['~ settings of the gateway'],
  ],
  'a consumer that came': [
    clusterState([LLAMA, QWEN], PODS, {
      consumers: byKey([consumer('ml/alice', { apiKeys: [{ sha256: 'a'.repeat(64) }], limits: [{ concurrency: 1 }] })]),
    }),
    ['+ consumer ml/alice  1 key, 1 limit'],
  ],
};

test('consumers that change and go are told', () => {
  const withAlice = (spec: object) =>
    clusterState([LLAMA, QWEN], PODS, { consumers: byKey([consumer('ml/alice', spec)]) });
  assert.deepEqual(changes(withAlice({}), withAlice({ limits: [{ concurrency: 1 }] })), [
    '~ consumer ml/alice  1 limit',
  ]);
  assert.deepEqual(changes(withAlice({}), BEFORE), ['− consumer ml/alice']);
});

for (const [what, [after, told]] of Object.entries(CASES)) {
  test(`${what}: ${told.join(', ') || 'nothing to tell'}`, () => assert.deepEqual(changes(BEFORE, after), told));
}
