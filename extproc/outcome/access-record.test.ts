import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { create, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import { anyPack } from '@bufbuild/protobuf/wkt';
import fc from 'fast-check';
import { ID_HEADER } from '../../proto/exchange-names.ts';
import { RequestMethod } from '../../proto/gen/envoy/config/core/v3/base_pb.js';
import { HTTPAccessLogEntrySchema, ResponseFlagsSchema } from '../../proto/gen/envoy/data/accesslog/v3/accesslog_pb.js';
import { TokenUsage_ExtractionStatus, TokenUsageSchema } from '../../proto/gen/envoy/data/ai/v3/token_usage_pb.js';
import { readAccessRecord } from './access-record.ts';
import { recorded } from './envoy-records.fixture.ts';

const encode = (entry: MessageInitShape<typeof HTTPAccessLogEntrySchema>): Uint8Array =>
  toBinary(HTTPAccessLogEntrySchema, create(HTTPAccessLogEntrySchema, entry));

const text = fc.string({ unit: 'grapheme', maxLength: 60 }).filter(value => value.isWellFormed());
const size = fc.nat({ max: Number.MAX_SAFE_INTEGER });
const duration = fc.record({ seconds: fc.nat(100_000).map(BigInt), nanos: fc.nat(999_999_999) });
const ms = ({ seconds, nanos }: { seconds: bigint; nanos: number }) => Number(seconds) * 1_000 + nanos / 1_000_000;

const known = fc.record({
  method: fc.constantFrom('GET', 'POST', 'DELETE', 'PATCH'),
  path: text,
  status: fc.integer({ min: 100, max: 599 }),
  details: text,
  fairlead: fc.record({ id: text, model: text, backend: text, strategy: text }),
  ip: fc.oneof(fc.ipV4(), fc.ipV6()),
  port: fc.integer({ min: 1, max: 65_535 }),
  attempts: fc.nat(5),
  requestBytes: size,
  responseBytes: size,
  duration,
  firstByte: duration,
  lastByte: duration,
});

describe('an access record', () => {
  it('says what the generated code encoded', () => {
    fc.assert(
      fc.property(known, given => {
        const socketAddress = { address: given.ip, portSpecifier: { case: 'portValue', value: given.port } } as const;
        const record = readAccessRecord(
          encode({
            commonProperties: {
              upstreamRemoteAddress: { address: { case: 'socketAddress', value: socketAddress } },
              duration: given.duration,
              timeToFirstUpstreamRxByte: given.firstByte,
              timeToLastUpstreamRxByte: given.lastByte,
              upstreamRequestAttemptCount: given.attempts,
              metadata: { filterMetadata: { other: { id: 'not this one' }, fairlead: given.fairlead } },
            },
            request: {
              requestMethod: RequestMethod[given.method as 'GET'],
              path: given.path,
              requestBodyBytes: BigInt(given.requestBytes),
            },
            response: {
              responseCode: given.status,
              responseBodyBytes: BigInt(given.responseBytes),
              responseCodeDetails: given.details,
            },
          }),
        );
        const { method, path, status, details, attempts, requestBytes, responseBytes } = given;
        assert.deepEqual(record, {
          ...{ method, path, status, details, attempts, requestBytes, responseBytes },
          id: given.fairlead.id,
          model: given.fairlead.model,
          backend: given.fairlead.backend,
          flags: new Set(),
          upstream: given.ip.includes(':') ? `[${given.ip}]:${given.port}` : `${given.ip}:${given.port}`,
          durationMs: ms(given.duration),
          firstByteMs: ms(given.firstByte),
          lastByteMs: ms(given.lastByte),
          usage: undefined,
        });
      }),
    );
  });

  it('of an exchange that nothing is known of is empty', () => {
    assert.deepEqual(readAccessRecord(new Uint8Array(0)), {
      ...{
        id: '',
        model: '',
        backend: '',
        method: '',
        path: '',
        status: 0,
        details: '',
        flags: new Set(),
        upstream: '',
      },
      ...{ attempts: 0, requestBytes: 0, responseBytes: 0, durationMs: 0 },
      ...{ firstByteMs: undefined, lastByteMs: undefined, usage: undefined },
    });
  });

  it('of an attempt has the id of its header', () => {
    const requestHeaders = { other: 'x', [ID_HEADER]: 'exchange-7' };
    assert.equal(readAccessRecord(encode({ request: { requestHeaders } }))?.id, 'exchange-7');
  });

  it('reads what Envoy wrote', () => {
    const { id, model, upstream, attempts, usage, firstByteMs, flags } = recorded('503, then answered').end;
    assert.deepEqual(
      { model, upstream, attempts, usage, flags },
      {
        model: 'm',
        upstream: '127.0.0.1:38101',
        attempts: 2,
        usage: { status: 'complete', promptTokens: 11, cachedPromptTokens: undefined, completionTokens: 7 },
        flags: new Set(),
      },
    );
    assert.ok(firstByteMs !== undefined && firstByteMs > 0);
    assert.equal(recorded('503, then answered').attempts[0]?.id, id);
  });

  it('is none, or another, when bytes are missing or changed, and never throws', () => {
    const valid = encode({
      commonProperties: {
        metadata: { filterMetadata: { fairlead: { id: 'x' } } },
        responseFlags: { noRouteFound: true },
      },
    });
    const damaged = fc.oneof(
      fc.uint8Array({ maxLength: 100 }),
      fc.tuple(fc.nat(valid.length - 1), fc.nat(255)).map(([at, byte]) => valid.with(at, byte)),
    );
    fc.assert(
      fc.property(damaged, bytes => void readAccessRecord(bytes)),
      { numRuns: 2_000 },
    );
    for (let end = 1; end < valid.length; end++) assert.equal(readAccessRecord(valid.subarray(0, end)), undefined);
  });
});

describe('response flags', () => {
  /** https://www.envoyproxy.io/docs/envoy/v1.40.0/configuration/observability/access_log/usage#response-flags */
  const SHORT_NAMES = {
    noHealthyUpstream: 'UH',
    upstreamRequestTimeout: 'UT',
    localReset: 'LR',
    upstreamRemoteReset: 'UR',
    upstreamConnectionFailure: 'UF',
    upstreamConnectionTermination: 'UC',
    upstreamOverflow: 'UO',
    noRouteFound: 'NR',
    downstreamConnectionTermination: 'DC',
    upstreamRetryLimitExceeded: 'URX',
    streamIdleTimeout: 'SI',
    downstreamProtocolError: 'DPE',
    upstreamMaxStreamDurationReached: 'UMSDR',
    durationTimeout: 'DT',
    upstreamProtocolError: 'UPE',
    noClusterFound: 'NC',
    overloadManager: 'OM',
    downstreamRemoteReset: 'DR',
  } as const;

  it('have their short names, alone and together', () => {
    fc.assert(
      fc.property(fc.subarray(Object.keys(SHORT_NAMES) as (keyof typeof SHORT_NAMES)[]), fields => {
        const responseFlags = Object.fromEntries(fields.map(field => [field, true]));
        const record = readAccessRecord(encode({ commonProperties: { responseFlags } }));
        assert.deepEqual(record?.flags, new Set(fields.map(field => SHORT_NAMES[field])));
      }),
    );
  });

  it('each have one of their own', () => {
    const names = ResponseFlagsSchema.fields.map(({ localName, message }) => {
      const responseFlags = { [localName]: message === undefined ? true : {} };
      return [...(readAccessRecord(encode({ commonProperties: { responseFlags } }))?.flags ?? [])].join();
    });
    assert.equal(new Set(names).size, ResponseFlagsSchema.fields.length);
    assert.ok(names.every(name => /^[A-Z]{2,5}$/.test(name)));
  });
});

describe('token usage', () => {
  const entryWith = (usage: MessageInitShape<typeof TokenUsageSchema>) =>
    readAccessRecord(
      encode({
        commonProperties: {
          metadata: {
            typedFilterMetadata: { 'envoy.ai.token_usage': anyPack(TokenUsageSchema, create(TokenUsageSchema, usage)) },
          },
        },
      }),
    )?.usage;

  it('is what the generated code encoded', () => {
    const tokens = fc.option(fc.nat({ max: 2 ** 40 }), { nil: undefined });
    const statuses = fc.constantFrom('COMPLETE', 'PARTIAL', 'FAILED');
    fc.assert(
      fc.property(tokens, tokens, tokens, statuses, (promptTokens, cachedPromptTokens, completionTokens, status) => {
        const usage = entryWith({
          ...(promptTokens !== undefined && { inputTokens: BigInt(promptTokens) }),
          ...(completionTokens !== undefined && { outputTokens: BigInt(completionTokens) }),
          ...(cachedPromptTokens !== undefined && { inputTokenDetails: { cachedTokens: BigInt(cachedPromptTokens) } }),
          totalTokens: 999n,
          extractionStatus: TokenUsage_ExtractionStatus[status as 'COMPLETE'],
        });
        assert.deepEqual(usage, { status: status.toLowerCase(), promptTokens, cachedPromptTokens, completionTokens });
      }),
    );
  });

  it('of a status that nobody knows is not trusted', () => {
    assert.equal(entryWith({ extractionStatus: 9 as TokenUsage_ExtractionStatus })?.status, 'failed');
    assert.equal(entryWith({ inputTokens: 1n })?.status, 'failed');
  });
});
