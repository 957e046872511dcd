import assert from 'node:assert/strict';
import { it } from 'node:test';
import { create } from '@bufbuild/protobuf';
import { codeOf } from '../../errors/envoy-replies.ts';
import { BackendSchema, EndpointSchema, ModelSchema } from '../../proto/gen/fairlead/v1/table_pb.js';
import { FREE_GRANT } from '../admit/grant.ts';
import { EndpointLoad } from '../endpoint-load/endpoint-load.ts';
import { anonymous } from '../identity/caller.ts';
import { INFERENCE_ENDPOINTS } from '../request/endpoints.ts';
import { accessLogOf } from './access-log.ts';
import { entryBytes } from './envoy-records.fixture.ts';
import { Ledger } from './ledger.ts';

it('Envoy’s logs reach the ledger, in spite of one entry that cannot be read', () => {
  const load = new EndpointLoad();
  const nowMs = () => 1_000;
  const ledger = new Ledger({ load, codeOf, isOwn: () => true, isServed: () => true, nowMs });
  const [first = 0, second = 0] = ['10.0.0.1:80', '10.0.0.2:80'].map(address =>
    load.acquire(create(EndpointSchema, { address, id: address })),
  );
  const backend = { config: create(BackendSchema, { name: 'gpu' }), slots: [first, second], names: ['gpu-0', 'gpu-1'] };
  const entry = { key: 'ml/llama', model: create(ModelSchema, { id: 'llama' }), backends: [backend], routeProfile: '' };
  const forecast = { promptTokens: 10, outputTokens: 20, stream: false, startedMs: 1_000 };
  const reservation = load.reserve(first, 30, 1_000);
  const asked = { caller: anonymous(''), endpoint: INFERENCE_ENDPOINTS[0] ?? assert.fail(), grant: FREE_GRANT };
  ledger.open({ id: 'x', ...asked, entry, backend, candidates: [first, second], reservation, ...forecast });

  const log = accessLogOf(ledger);
  const upstreamRemoteAddress = (address: string) => ({ socketAddress: { address, portValue: 80 } });
  log.entries('attempt', [
    Buffer.from([0x0a, 0x7f]),
    entryBytes({
      commonProperties: {
        upstreamRemoteAddress: upstreamRemoteAddress('10.0.0.1'),
        responseFlags: { upstreamConnectionFailure: true },
      },
      request: { requestHeaders: { 'x-fairlead-id': 'x' } },
    }),
  ]);
  assert.equal(load.inFlight(second), 1);
  const usage = {
    '@type': 'type.googleapis.com/envoy.data.ai.v3.TokenUsage',
    inputTokens: '7',
    outputTokens: '5',
    extractionStatus: 'COMPLETE',
  };
  log.entries('end', [
    entryBytes({
      commonProperties: {
        upstreamRemoteAddress: upstreamRemoteAddress('10.0.0.2'),
        metadata: {
          filterMetadata: { fairlead: { id: 'x', model: 'llama', backend: 'gpu' } },
          typedFilterMetadata: {
            'envoy.ai.token_usage': usage,
          },
        },
      },
      response: { responseCode: 200, responseCodeDetails: 'via_upstream' },
    }),
  ]);
  ledger.ended('x');

  const { requests, inFlight, settlements } = ledger.tally.snapshot();
  assert.deepEqual(requests, [{ model: 'llama', backend: 'gpu', code: '200', count: 1 }]);
  assert.deepEqual(inFlight, [{ model: 'llama', count: 0 }]);
  assert.deepEqual(settlements, [{ kind: 'usage', count: 1 }]);
  assert.deepEqual(
    Array.from(load.rows(1_000), ({ address, processedTokens, reservedTokens }) => [
      address,
      processedTokens,
      reservedTokens,
    ]),
    [
      ['10.0.0.1:80', 0, 0],
      ['10.0.0.2:80', 12, 0],
    ],
  );
});
