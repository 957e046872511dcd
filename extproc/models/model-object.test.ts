import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { create } from '@bufbuild/protobuf';
import { ModelSchema } from '../../proto/gen/fairlead/v1/table_pb.js';
import { modelList, modelObject } from './model-object.ts';

describe('model object', () => {
  it("is OpenAI's, with what the resource says besides", () => {
    const model = create(ModelSchema, {
      id: 'meta/llama',
      aliases: ['llama'],
      type: 'text-generation',
      version: '2',
      maxContextLength: 131_072,
      ownedBy: 'acme',
      created: 1_700_000_000,
    });
    assert.deepEqual(modelObject(model), {
      id: 'meta/llama',
      object: 'model',
      created: 1_700_000_000,
      owned_by: 'acme',
      type: 'text-generation',
      aliases: ['llama'],
      max_context_length: 131_072,
      version: '2',
    });
  });

  it('leaves out what is not known', () => {
    const known = Object.keys(modelObject(create(ModelSchema, { id: 'a', type: 'text-embeddings' })));
    assert.deepEqual(known, ['id', 'object', 'created', 'owned_by', 'type', 'aliases']);
  });

  it('comes in a list', () => {
    const entries = ['a', 'b'].map(id => ({
      key: `ml/${id}`,
      model: create(ModelSchema, { id }),
      backends: [],
      routeProfile: '',
    }));
    const { object, data } = modelList(entries);
    assert.equal(object, 'list');
    assert.deepEqual(
      data.map(({ id }) => id),
      ['a', 'b'],
    );
  });
});
