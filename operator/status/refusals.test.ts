import assert from 'node:assert/strict';
import { test } from 'node:test';
import { create } from '@bufbuild/protobuf';
import { NodeReportSchema } from '../../proto/gen/fairlead/v1/report_pb.js';
import { CONSUMER_TYPE, DEFAULT_NAME, ENDPOINT_GROUP_TYPE, GATEWAY_TYPE, MODEL_TYPE } from '../../proto/table-types.ts';
import { refusalsOf } from './refusals.ts';

test('what is refused concerns a model, what all models share, or a table', () => {
  const rejections = [
    { resource: 'cluster ml/llama', message: 'one' },
    { resource: 'clusterloadassignment ml/qwen', message: 'two' },
    { resource: 'listener https', message: 'three' },
    { resource: 'table 7-0badcafe', message: 'four' },
  ];
  const refused = [
    { typeUrl: MODEL_TYPE, name: 'ml/llama', message: 'five' },
    { typeUrl: ENDPOINT_GROUP_TYPE, name: 'ml/qwen/h100', message: 'six' },
    { typeUrl: GATEWAY_TYPE, name: DEFAULT_NAME, message: 'seven' },
    { typeUrl: CONSUMER_TYPE, name: 'ml/alice', message: 'eight' },
  ];
  const { ofModels, ofConsumers, ofGateway, ofTable } = refusalsOf([
    { nodeId: 'a', report: create(NodeReportSchema, { nodeId: 'a', rejections }), refused: [] },
    { nodeId: 'b', report: undefined, refused },
  ]);
  const words = (refusals: readonly { nodeId: string; message: string }[] | undefined) =>
    refusals?.map(({ nodeId, message }) => `${nodeId} ${message}`);
  assert.deepEqual(words(ofModels.get('ml/llama')), ['a one', 'b five']);
  assert.deepEqual(words(ofModels.get('ml/qwen')), ['a two', 'b six']);
  assert.deepEqual(words(ofConsumers.get('ml/alice')), ['b eight']);
  assert.deepEqual(words(ofGateway), ['a listener https: three', 'b seven']);
  assert.deepEqual(words(ofTable), ['a table 7-0badcafe: four']);
});
