import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { create, type MessageInitShape } from '@bufbuild/protobuf';
import {
  AuthenticationMode,
  ConsumerSchema,
  EndpointGroupSchema,
  GatewaySchema,
  type Model,
  ModelSchema,
} from '../proto/gen/fairlead/v1/table_pb.js';
import { Admission } from './admit/admission.ts';
import type { LimitStore } from './admit/limit-store.ts';
import { MemoryStore } from './admit/memory-store.ts';
import { limit } from './admit/sample-request.fixture.ts';
import { change, exchangeOn, inFlight, plane, refusalOf } from './exchange.fixture.ts';
import type { DataPlane } from './exchange.ts';
import { digestOf } from './identity/api-key.ts';

// Between the head of a request and its end the table may change: what holds is the table of now.

const KEY = 'sk-team';
const HEADERS = { authorization: `Bearer ${KEY}` };
const BODY = '{"model":"m"}';

function team(config: Omit<MessageInitShape<typeof ConsumerSchema>, '$typeName'> = {}) {
  const sha256 = Uint8Array.from(Buffer.from(digestOf(KEY), 'hex'));
  return {
    consumers: [['ml/team', create(ConsumerSchema, { names: ['team'], apiKeys: [{ sha256 }], ...config })]],
  } as const;
}

function asking(mode: AuthenticationMode) {
  return { gateway: create(GatewaySchema, { authentication: { mode }, maxBodyBytes: 100 }) };
}

/** Asks for keys, of which one is known. */
function keyedPlane(): DataPlane {
  const dataPlane = plane();
  change(dataPlane, { ...asking(AuthenticationMode.AUTHENTICATION_API_KEYS), ...team() });
  return dataPlane;
}

describe('while the body of a request is on its way', () => {
  const changes: [what: string, delta: Parameters<typeof change>[1], expected: string][] = [
    ['its consumer goes', { removedConsumers: ['ml/team'] }, 'fairlead_invalid_api_key'],
    ['its key is withdrawn', team({ apiKeys: [] }), 'fairlead_invalid_api_key'],
    ['its models become others', team({ models: { patterns: ['other'] } }), 'fairlead_model_not_allowed'],
    ['its limits become others', team({ limits: [limit('requests', 0)] }), 'fairlead_model_not_allowed'],
    ['tokens are asked for', asking(AuthenticationMode.AUTHENTICATION_JWT), 'fairlead_invalid_token'],
    ['the model goes', { removedModels: ['ns/m'] }, 'fairlead_model_not_found'],
  ];
  for (const [what, delta, expected] of changes) {
    it(`${what}: ${expected}`, () => {
      const dataPlane = keyedPlane();
      const { replies, headers, body } = exchangeOn(dataPlane);
      headers(HEADERS);
      assert.equal(replies[0]?.response.case, 'requestHeaders');
      change(dataPlane, delta);
      body(BODY);
      assert.equal(refusalOf(replies[1]), expected);
      assert.equal(inFlight(dataPlane), 0);
    });
  }

  it('an endpoint comes: the request goes on', () => {
    const dataPlane = keyedPlane();
    const { replies, headers, body } = exchangeOn(dataPlane);
    headers(HEADERS);
    change(dataPlane, team());
    body(BODY);
    assert.equal(replies[1]?.response.case, 'requestBody');
  });
});

/** As a store that is asked over the network; what it holds can be seen. */
function remotePlane() {
  const dataPlane = keyedPlane();
  change(dataPlane, team({ limits: [limit('concurrency', 5)] }));
  const local = new MemoryStore({ nowMs: () => 0, agents: () => 1 });
  let held = 0;
  const store: LimitStore = {
    reserve: async (id, charges) => {
      held++;
      return local.reserve(id, charges);
    },
    release: id => local.release(id),
    settle: (id, charges, amounts) => {
      held--;
      local.settle(id, charges, amounts);
    },
    add: charges => local.add(charges),
    read: counters => local.read(counters),
  };
  const admission = new Admission({
    store: () => store,
    nowMs: () => 0,
    nextId: dataPlane.nextId,
    failed: assert.ifError,
  });
  return { dataPlane: { ...dataPlane, admission }, held: () => held };
}

describe('while the limits of a request are asked for', () => {
  const group = (address: string) =>
    create(EndpointGroupSchema, { endpoints: [{ address, id: address, name: `pod-${address}` }] });
  const model = (id: string, names: string[]): Model =>
    create(ModelSchema, { id, names, type: 'text-generation', backends: [{ name: 'b', capacity: 1 }] });

  const changes: [what: string, delta: Parameters<typeof change>[1], expected: string][] = [
    ['its consumer goes', { removedConsumers: ['ml/team'] }, 'fairlead_invalid_api_key'],
    ['its models become others', team({ models: { patterns: ['other'] } }), 'fairlead_model_not_allowed'],
    ['its model goes', { removedModels: ['ns/m'] }, 'fairlead_model_not_found'],
    ['its endpoints go', { removedEndpoints: ['ns/m/b'] }, 'fairlead_no_ready_endpoints'],
    [
      'its name becomes another model’s',
      { removedModels: ['ns/m'], models: [['ns/n', model('m', ['m'])]] },
      'fairlead_gateway_unavailable',
    ],
  ];
  for (const [what, delta, expected] of changes) {
    it(`${what}: ${expected}, and what was reserved is given back`, async () => {
      const { dataPlane, held } = remotePlane();
      const { replies, headers, body } = exchangeOn(dataPlane);
      headers(HEADERS);
      body(BODY);
      assert.equal(held(), 1);
      change(dataPlane, delta);
      await new Promise(setImmediate);
      assert.equal(refusalOf(replies[1]), expected);
      assert.deepEqual([held(), inFlight(dataPlane)], [0, 0]);
    });
  }

  it('its pods are replaced, and their rows taken by another model’s: it goes to the new ones', async () => {
    const { dataPlane } = remotePlane();
    const { replies, headers, body } = exchangeOn(dataPlane);
    headers(HEADERS);
    body(BODY);
    change(dataPlane, { removedEndpoints: ['ns/m/b'] });
    const other = [['ns/n', model('n', ['n'])]] as const;
    change(dataPlane, { models: other, endpoints: [['ns/n/b', group('2.2.2.2:1')]] });
    change(dataPlane, { endpoints: [['ns/m/b', group('1.1.1.3:1')]] });
    await new Promise(setImmediate);
    const metadata = replies[1]?.dynamicMetadata as Record<string, Record<string, string>> | undefined;
    assert.equal(metadata?.['envoy.lb']?.['x-gateway-destination-endpoint'], '1.1.1.3:1');
  });
});
