import assert from 'node:assert/strict';
import { test } from 'node:test';
import { create } from '@bufbuild/protobuf';
import { ConsumerSchema, ModelSchema } from '../../proto/gen/fairlead/v1/table_pb.js';
import { anonymous, callerOf } from './caller.ts';
import { consumerEntry } from './consumer-entry.ts';
import { allowedModels, mayUse, refuseForbiddenModel, refuseUnknownModel } from './model-access.ts';

const model = (id: string) => create(ModelSchema, { id, names: [id] });
const ENTRIES = ['a', 'b', 'c'].map(id => ({ model: model(id) }));

function allowed(patterns: string[] | undefined) {
  const consumer = create(ConsumerSchema, patterns && { models: { patterns } });
  return allowedModels(callerOf(consumerEntry('ml/alice', consumer), ''), ENTRIES).map(({ model }) => model.id);
}

test('of the models those are listed that the caller may use, in their order', () => {
  assert.deepEqual(allowed(undefined), ['a', 'b', 'c']);
  assert.deepEqual(allowed(['c', 'a']), ['a', 'c']);
  assert.deepEqual(allowed([]), []);
  assert.equal(allowedModels(anonymous(''), ENTRIES), ENTRIES);
  assert.ok(mayUse(anonymous('someone'), model('a')));
});

test('a forbidden model is refused by its name, or just as an unknown one', () => {
  const { code, message, param } = refuseForbiddenModel('a', false);
  assert.deepEqual([code, param], ['model_not_allowed', 'model']);
  assert.equal(message, 'You may not use the model a. GET /v1/models lists those that you may.');
  assert.deepEqual(refuseForbiddenModel('a', true), refuseUnknownModel('a'));
  assert.equal(refuseUnknownModel('a').message, 'Model not found: a');
});
