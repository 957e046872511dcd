import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  consumerStatusSchema,
  gatewayStatusSchema,
  modelStatusSchema,
  type StatusDocument,
} from '../../crds/status.ts';
import { plan } from '../plan/plan.ts';
import type { Condition } from '../plan/resource-status.ts';
import { byKey, clusterState, consumer, inferenceGateway, modelDeployment, pod } from '../plan/test-state.fixture.ts';
import { isAccepted, plannedStatus, refusedStatus, statusDocument } from './status-document.ts';
import { statusObjects } from './status-objects.ts';
import { transitions } from './transitions.ts';

const FIRST_MS = Date.UTC(2026, 0, 1);
const LATER_MS = Date.UTC(2026, 0, 2);

const followed: Condition = { type: 'Programmed', status: 'True', reason: 'Programmed', message: 'all follow' };
const refused: Condition = { type: 'Programmed', status: 'False', reason: 'Refused', message: 'refused by a: bad' };
const unheard: Condition = { type: 'Programmed', status: 'Unknown', reason: 'NoGateways', message: 'none' };

function planned(...pods: readonly ReturnType<typeof pod>[]) {
  const { statuses } = plan(clusterState([modelDeployment('ml/llama', { model: 'meta/llama' })], pods), {
    standalone: false,
  });
  return statuses.get('ml/llama') ?? assert.fail();
}

const serving = planned(pod('ml/a', 'llama', '10.0.0.1'), pod('ml/b', 'llama', '10.0.0.2', { ready: false }));

function words({ conditions = [] }: StatusDocument): string[] {
  return conditions.map(({ type, status, reason, lastTransitionTime }) =>
    `${type} ${status} ${reason} ${lastTransitionTime}`.replace('T00:00:00Z', ''),
  );
}

test('a model that is served', () => {
  const document = statusDocument(plannedStatus(serving, followed), undefined, FIRST_MS);
  const { model, endpoints, ready, observedGeneration, conditions } = modelStatusSchema.parse(document);
  assert.deepEqual(
    { model, endpoints, ready, observedGeneration },
    {
      model: 'meta/llama',
      endpoints: { ready: 1, total: 2 },
      ready: '1/2',
      observedGeneration: 1,
    },
  );
  assert.deepEqual(words(document), [
    'Accepted True Accepted 2026-01-01',
    'BackendsResolved True Resolved 2026-01-01',
    'Programmed True Programmed 2026-01-01',
    'Ready True Ready 2026-01-01',
  ]);
  assert.ok(conditions?.every(condition => condition.observedGeneration === 1));
});

test('a condition keeps its time while its status does not change, whatever it says', () => {
  const first = statusDocument(plannedStatus(serving, followed), undefined, FIRST_MS);
  assert.deepEqual(statusDocument(plannedStatus(serving, followed), first, LATER_MS), first);
  const without = statusDocument(plannedStatus(planned(), { ...followed, message: 'most' }), first, LATER_MS);
  assert.deepEqual(words(without), [
    'Accepted True Accepted 2026-01-01',
    'BackendsResolved False NoEndpoints 2026-01-02',
    'Programmed True Programmed 2026-01-01',
    'Ready False NoEndpoints 2026-01-02',
  ]);
});

test('a model that gateways refuse is not ready; one whose gateways are not heard of is', () => {
  const ready = (condition: Condition) =>
    statusDocument(plannedStatus(serving, condition), undefined, FIRST_MS).conditions?.find(
      ({ type }) => type === 'Ready',
    );
  assert.deepEqual([ready(refused)?.status, ready(refused)?.message], ['False', 'see Programmed: refused by a: bad']);
  assert.equal(ready(unheard)?.status, 'True');
});

test('a resource that was never read says what is wrong with it, and where', () => {
  const common = { namespace: 'ml', name: 'a', uid: 'u', generation: 4, createdAtMs: 0 };
  const problems = [
    { path: ['spec', 'backends', 0, 'url'], at: 'key', message: 'not served yet' },
    { path: [], at: 'value', message: 'too long' },
  ] as const;
  const model = statusDocument(refusedStatus({ ...common, kind: 'ModelDeployment', problems }), undefined, FIRST_MS);
  modelStatusSchema.parse(model);
  assert.equal(model.conditions?.[0]?.message, 'spec.backends[0].url: not served yet; too long');
  assert.equal(model.observedGeneration, 4);
  assert.deepEqual(words(model), [
    'Accepted False Invalid 2026-01-01',
    'BackendsResolved Unknown NotAccepted 2026-01-01',
    'Programmed False NotAccepted 2026-01-01',
    'Ready False NotAccepted 2026-01-01',
  ]);
  const gateway = refusedStatus({ ...common, kind: 'InferenceGateway', problems });
  assert.deepEqual(words(gatewayStatusSchema.parse(statusDocument(gateway, undefined, FIRST_MS))), [
    'Accepted False Invalid 2026-01-01',
    'Programmed False NotAccepted 2026-01-01',
  ]);
});

test('what a gateway that cannot be read means meanwhile is told first, and nothing of a younger one', () => {
  const metadata = { namespace: 'ml', uid: 'u', generation: 4, createdAtMs: 0 };
  const problems = [{ path: ['spec', 'listeners'], at: 'value', message: 'bad' }] as const;
  const broken = { ...metadata, kind: 'InferenceGateway', name: 'gateway', problems } as const;
  const accepted = (state: ReturnType<typeof clusterState>) => {
    const planned = { plan: plan(state, { standalone: false }), reading: { state, refused: [broken] } };
    const objects = [...statusObjects(planned)];
    assert.deepEqual(
      objects.map(({ uid }) => uid).filter(uid => uid === 'u'),
      ['u'],
      'one object, one status',
    );
    const source = objects.find(({ uid }) => uid === 'u')?.source;
    return source?.refused && refusedStatus(source.refused, source.meanwhile).conditions[0]?.message;
  };
  const origin = { kind: 'object', uid: 'u' } as const;
  assert.equal(
    accepted(clusterState([], [], { closed: { why: 'refused', key: 'ml/gateway', origin } })),
    'nobody may call until this is mended: every request is answered 503. spec.listeners: bad',
  );
  assert.equal(
    accepted(clusterState([], [], { gateways: [{ ...inferenceGateway('ml/gateway'), origin }] })),
    'the gateway goes on as it was before until this is mended. spec.listeners: bad',
  );
  assert.equal(accepted(clusterState([], [], { gateways: [inferenceGateway('ml/other')] })), 'spec.listeners: bad');
});

test('a gateway that is served, and one that is not', () => {
  const gateways = [inferenceGateway('ml/a', {}, 1), inferenceGateway('ml/b', {}, 2)];
  const { gatewayStatuses } = plan(clusterState([], [], { gateways }), { standalone: false });
  const [a = assert.fail(), b = assert.fail()] = ['ml/a', 'ml/b'].map(key => gatewayStatuses.get(key));
  assert.deepEqual([isAccepted(a), isAccepted(b)], [true, false]);
  const reasons = (status: typeof a, condition?: Condition) =>
    gatewayStatusSchema
      .parse(statusDocument(plannedStatus(status, condition), undefined, FIRST_MS))
      .conditions?.map(({ status, reason }) => `${status} ${reason}`);
  assert.deepEqual(reasons(a, followed), ['True Accepted', 'True Programmed']);
  assert.deepEqual(reasons(b), ['False GatewayConflict', 'False NotAccepted']);
});

test('a consumer that is served, with what it spent, and one that is not', () => {
  const keyed = { apiKeys: [{ secretRef: { name: 'key' } }] };
  const users = { users: ['u'] };
  const consumers = byKey([consumer('ml/a', { ...users, ...keyed }, 1), consumer('ml/b', users, 2)]);
  const { consumerStatuses } = plan(clusterState([], [], { consumers }), { standalone: false });
  const [a = assert.fail(), b = assert.fail()] = ['ml/a', 'ml/b'].map(key => consumerStatuses.get(key));
  assert.deepEqual([isAccepted(a), isAccepted(b)], [true, false]);
  const spend = { amount: '8.00', currency: 'EUR', limit: '10.00', periodEnd: '2026-02-01T00:00:00Z' };
  const served = consumerStatusSchema.parse(statusDocument(plannedStatus(a, followed, spend), undefined, FIRST_MS));
  assert.deepEqual(served.spend, spend);
  assert.deepEqual(words(served), [
    'Accepted True Accepted 2026-01-01',
    'ResolvedRefs False InvalidSecretRef 2026-01-01',
    'Programmed True Programmed 2026-01-01',
  ]);
  const other = consumerStatusSchema.parse(statusDocument(plannedStatus(b, undefined), undefined, FIRST_MS));
  assert.deepEqual(words(other), ['Accepted False NameConflict 2026-01-01', 'Programmed False NotAccepted 2026-01-01']);
});

test('Events tell what broke and what was mended, once', () => {
  const document = (status: ReturnType<typeof plannedStatus>) => statusDocument(status, undefined, FIRST_MS);
  const told = (before: StatusDocument | undefined, after: StatusDocument) =>
    transitions(before, after).map(({ type, reason, note }) => `${type} ${reason}: ${note}`);
  const ready = document(plannedStatus(serving, followed));
  const empty = document(plannedStatus(planned(), followed));
  const rejected = document(plannedStatus(serving, refused));
  const pending = document(plannedStatus(serving, unheard));
  const problems = [{ path: ['spec'], at: 'value', message: 'wrong' }] as const;
  const invalid = document(
    refusedStatus({
      kind: 'ModelDeployment',
      namespace: 'ml',
      name: 'a',
      uid: 'u',
      generation: 1,
      createdAtMs: 0,
      problems,
    }),
  );
  const noPods = 'backend gpu: selector app=llama matches no pods in namespace ml';
  assert.deepEqual(told(undefined, ready), ['Normal Ready: 1/2 endpoints']);
  assert.deepEqual(told(ready, ready), []);
  assert.deepEqual(told(undefined, empty), [`Warning NoEndpoints: ${noPods}`]);
  assert.deepEqual(told(ready, empty), [`Warning NoEndpoints: ${noPods}`, `Warning NotReady: ${noPods}`]);
  assert.deepEqual(told(empty, ready), [`Normal BackendsResolved: no more: ${noPods}`, 'Normal Ready: 1/2 endpoints']);
  assert.deepEqual(told(ready, rejected), [
    'Warning Refused: refused by a: bad',
    'Warning NotReady: see Programmed: refused by a: bad',
  ]);
  assert.deepEqual(told(rejected, ready), ['Normal Programmed: all follow', 'Normal Ready: 1/2 endpoints']);
  assert.deepEqual(told(ready, pending), []);
  const certificate = (status: 'True' | 'False'): StatusDocument =>
    document({
      observedGeneration: 1,
      conditions: [{ type: 'ResolvedRefs', status, reason: 'InvalidRef', message: 'no key', observedGeneration: 1 }],
    });
  assert.deepEqual(told(certificate('True'), certificate('False')), ['Warning InvalidRef: no key']);
  assert.deepEqual(told(certificate('False'), certificate('True')), ['Normal ResolvedRefs: no more: no key']);
  assert.deepEqual(told(undefined, invalid), ['Warning Invalid: spec: wrong']);
  assert.deepEqual(told(invalid, ready), ['Normal Accepted: no more: spec: wrong', 'Normal Ready: 1/2 endpoints']);
});
