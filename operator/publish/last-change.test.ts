import assert from 'node:assert/strict';
import { test } from 'node:test';
import { create } from '@bufbuild/protobuf';
import fc from 'fast-check';
import { EndpointGroupSchema, GatewaySchema, ModelSchema } from '../../proto/gen/fairlead/v1/table_pb.js';
import { Publisher } from './publisher.ts';
import type { PlannedTable } from './table-encoder.ts';

const MODELS = ['ml/a', 'ml/a-b', 'prod/a'];

/** What a model is, and its endpoints, as numbers; undefined for a model that is not there. */
type Content = readonly ({ readonly owner: number; readonly endpoints: readonly number[] } | undefined)[];

function table(adminPort: number, contents: Content): PlannedTable {
  const models = new Map();
  const endpoints = new Map();
  for (const [index, content] of contents.entries()) {
    if (content === undefined) continue;
    const key = MODELS[index];
    models.set(key, create(ModelSchema, { id: `${key}`, ownedBy: String(content.owner) }));
    for (const [backend, port] of content.endpoints.entries()) {
      const group = create(EndpointGroupSchema, { endpoints: [{ address: `10.0.0.1:${port}` }] });
      endpoints.set(`${key}/backend-${backend}`, group);
    }
  }
  return { gateway: create(GatewaySchema, { adminPort }), models, endpoints, consumers: new Map(), secrets: new Map() };
}

test('the version in which a model changed last is that of its last different content', () => {
  const content = fc.option(
    fc.record({ owner: fc.nat(1), endpoints: fc.array(fc.nat(1), { minLength: 1, maxLength: 2 }) }),
    { nil: undefined },
  );
  const step = fc.tuple(fc.nat(1), fc.tuple(content, content, content));
  const check = (steps: readonly (readonly [number, Content])[]) => {
    const publisher = new Publisher();
    const last = new Map<string, { readonly content: string; readonly sequence: number }>();
    for (const [adminPort, contents] of steps) {
      const version = publisher.publish(table(adminPort, contents));
      assert.equal(publisher.sequenceOf(version), publisher.sequence);
      const now = [
        ['gateway', adminPort] as const,
        ...contents.map((one, index) => [MODELS[index] ?? '', one] as const),
      ];
      for (const [key, value] of now) {
        const text = JSON.stringify(value) ?? '';
        const before = last.get(key);
        if (text === '') last.delete(key);
        else if (before?.content !== text) last.set(key, { content: text, sequence: publisher.sequence });
      }
      for (const key of MODELS) assert.equal(publisher.changedIn(key), last.get(key)?.sequence ?? 0);
      assert.equal(publisher.gatewayChangedIn, last.get('gateway')?.sequence);
    }
  };
  fc.assert(fc.property(fc.array(step, { minLength: 1, maxLength: 8 }), check));
});
