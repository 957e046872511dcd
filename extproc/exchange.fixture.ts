import assert from 'node:assert/strict';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { pino } from 'pino';
import type { TableDelta } from '../agent/table/route-table.ts';
import { codeOf } from '../errors/envoy-replies.ts';
import {
  type ProcessingRequest,
  ProcessingRequestSchema,
  type ProcessingResponse,
  ProcessingResponseSchema,
} from '../proto/gen/envoy/service/ext_proc/v3/external_processor_pb.js';
import {
  AuthenticationMode,
  EndpointGroupSchema,
  GatewaySchema,
  ModelSchema,
  Validation,
} from '../proto/gen/fairlead/v1/table_pb.js';
import { Admission } from './admit/admission.ts';
import { MemoryStore } from './admit/memory-store.ts';
import { EndpointLoad } from './endpoint-load/endpoint-load.ts';
import { type DataPlane, Exchange } from './exchange.ts';
import { ConsumerIndex } from './identity/consumer-index.ts';
import { ModelIndex } from './models/model-index.ts';
import { Ledger } from './outcome/ledger.ts';
import { Picker } from './pick/picker.ts';
import { mulberry32 } from './pick/random.ts';

/** A data plane with one model of two endpoints, and what it logged. */
export function plane(): DataPlane & { readonly lines: string[] } {
  const load = new EndpointLoad();
  const models = new ModelIndex(load);
  const backends = [{ name: 'b', runtime: 'vllm', capacity: 1, upstreamModel: 'upstream' }];
  const model = create(ModelSchema, {
    id: 'm',
    names: ['m', 'alias'],
    type: 'text-generation',
    backends,
    retryAttempts: 1,
  });
  const endpoints = ['1.1.1.1:1', '1.1.1.2:1'].map(address => ({ address, id: address, name: `pod-${address}` }));
  models.apply({
    version: '1',
    receivedAtMs: 0,
    gateway: create(GatewaySchema, {
      authentication: { mode: AuthenticationMode.AUTHENTICATION_NONE },
      maxBodyBytes: 100,
      modelHeaders: ['x-model'],
      validation: Validation.BASIC,
    }),
    models: [['ns/m', model]],
    removedModels: [],
    endpoints: [['ns/m/b', create(EndpointGroupSchema, { endpoints })]],
    removedEndpoints: [],
    consumers: [],
    removedConsumers: [],
    agents: undefined,
    limitStore: undefined,
  });
  let ids = 0;
  const nextId = () => `id-${++ids}`;
  const store = new MemoryStore({ nowMs: () => 0, agents: () => 1 });
  const lines: string[] = [];
  return {
    load,
    models,
    consumers: new ConsumerIndex(),
    admission: new Admission({ store: () => store, nowMs: () => 0, nextId, failed: assert.ifError }),
    picker: new Picker(load, mulberry32(1)),
    ledger: new Ledger({ load, codeOf, isOwn: () => true, isServed: () => true, nowMs: () => 0 }),
    log: pino({ level: 'debug' }, { write: line => lines.push(line) }),
    nowMs: () => 0,
    epochMs: () => 0,
    nextId,
    lines,
  };
}

const NO_CHANGE: TableDelta = {
  version: 'changed',
  receivedAtMs: 0,
  gateway: undefined,
  models: [],
  removedModels: [],
  endpoints: [],
  removedEndpoints: [],
  consumers: [],
  removedConsumers: [],
  agents: undefined,
  limitStore: undefined,
};

/** Has the plane follow a table that is otherwise in this. */
export function change({ models, consumers }: DataPlane, delta: Partial<TableDelta>): void {
  models.apply({ ...NO_CHANGE, ...delta });
  consumers.apply({ ...NO_CHANGE, ...delta });
}

/** An exchange on `plane`, and what it answers. */
export function exchangeOn(dataPlane: DataPlane) {
  const replies: ProcessingResponse[] = [];
  let ended = false;
  const exchange = new Exchange(dataPlane, {
    send: reply => replies.push(fromBinary(ProcessingResponseSchema, reply)),
    end: () => {
      ended = true;
    },
  });
  const say = (request: ProcessingRequest['request']) =>
    exchange.message(toBinary(ProcessingRequestSchema, create(ProcessingRequestSchema, { request })));
  return {
    exchange,
    replies,
    ended: () => ended,
    headers: (headers: Record<string, string>, endOfStream = false) => {
      const list = Object.entries({ ':method': 'POST', ':path': '/v1/chat/completions', ...headers });
      const value = {
        headers: { headers: list.map(([key, value]) => ({ key, rawValue: Buffer.from(value) })) },
        endOfStream,
      };
      say(create(ProcessingRequestSchema, { request: { case: 'requestHeaders', value } }).request);
    },
    body: (text: string) =>
      say(
        create(ProcessingRequestSchema, {
          request: { case: 'requestBody', value: { body: Buffer.from(text), endOfStream: true } },
        }).request,
      ),
  };
}

/** At all endpoints together. */
export function inFlight({ load }: DataPlane): number {
  return [...load.rows(0)].reduce((total, row) => total + row.inFlight, 0);
}

/** The details of a refusal. */
export function refusalOf(reply: ProcessingResponse | undefined): string {
  assert.equal(reply?.response.case, 'immediateResponse');
  return reply?.response.case === 'immediateResponse' ? reply.response.value.details : '';
}
