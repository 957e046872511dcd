import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { create, type JsonObject, type JsonValue, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import fc from 'fast-check';
import { JWT_NAMESPACE } from '../../proto/exchange-names.ts';
import { ProcessingRequestSchema } from '../../proto/gen/envoy/service/ext_proc/v3/external_processor_pb.js';
import { decodeProcessingRequest } from './decode.ts';

type Request = MessageInitShape<typeof ProcessingRequestSchema>;

const encode = (request: Request): Uint8Array =>
  toBinary(ProcessingRequestSchema, create(ProcessingRequestSchema, request));

const headerName = fc.stringMatching(/^:?[a-z][a-z0-9-]{0,20}$/);
const headerValue = fc.string({ unit: 'grapheme', maxLength: 200 }).filter(value => value.isWellFormed());
const headers = fc.array(fc.tuple(headerName, headerValue), { maxLength: 40 });

const headersFrame = (list: readonly (readonly [string, string])[], endOfStream: boolean): Uint8Array =>
  encode({
    request: {
      case: 'requestHeaders',
      value: {
        headers: { headers: list.map(([key, value]) => ({ key, rawValue: Buffer.from(value) })) },
        endOfStream,
      },
    },
  });

function decodedHeaders(frame: Uint8Array) {
  const request = decodeProcessingRequest(frame);
  return request.kind === 'request_headers' ? request : assert.fail(`decoded as ${request.kind}`);
}

describe('request headers', () => {
  it('have the values that the generated code encoded, and no others', () => {
    fc.assert(
      fc.property(headers, fc.boolean(), headerName, (list, endOfStream, another) => {
        const decoded = decodedHeaders(headersFrame(list, endOfStream));
        assert.equal(decoded.endOfStream, endOfStream);
        for (const name of [...list.map(([key]) => key), another]) {
          const values = list.filter(([key]) => key === name).map(([, value]) => value);
          assert.equal(decoded.headers.get(name), values.length === 0 ? undefined : values.join(','));
          assert.deepEqual(decoded.headers.all(name), values);
        }
      }),
    );
  });

  it('join a header that was sent twice, so that neither value is believed', () => {
    const { headers } = decodedHeaders(
      headersFrame(
        [
          ['x-model', 'a'],
          ['accept', '*/*'],
          ['x-model', 'b'],
        ],
        false,
      ),
    );
    assert.equal(headers.get('x-model'), 'a,b');
  });

  it('are read from `value` where Envoy uses that field', () => {
    const frame = encode({
      request: { case: 'requestHeaders', value: { headers: { headers: [{ key: ':path', value: '/v1/models' }] } } },
    });
    assert.equal(decodedHeaders(frame).headers.get(':path'), '/v1/models');
  });

  it('may be none', () => {
    const { headers, endOfStream } = decodedHeaders(Buffer.from([0x12, 0x00]));
    assert.equal(headers.get(':path'), undefined);
    assert.equal(endOfStream, false);
  });

  it('do not match a name by its beginning', () => {
    const { headers } = decodedHeaders(headersFrame([['x-model-name', 'a']], false));
    assert.equal(headers.get('x-model'), undefined);
    assert.equal(headers.get('x-model-names'), undefined);
  });
});

describe('the claims of a token', () => {
  const claimsFrame = (...namespaces: [name: string, content: JsonObject][]): Uint8Array =>
    encode({
      request: { case: 'requestHeaders', value: { headers: { headers: [{ key: ':path', value: '/' }] } } },
      metadataContext: { filterMetadata: Object.fromEntries(namespaces) },
    });
  const claimsIn = (...namespaces: [name: string, content: JsonObject][]) =>
    plain(decodedHeaders(claimsFrame(...namespaces)).jwt);

  /** With prototypes, as assertions want them. */
  function plain(value: unknown): unknown {
    if (Array.isArray(value)) return value.map(plain);
    if (typeof value !== 'object' || value === null) return value;
    return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, plain(each)]));
  }

  it('are what the generated code encoded, whatever JSON they are', () => {
    const text = fc.string({ unit: 'grapheme' }).filter(text => text.isWellFormed());
    const { json } = fc.letrec<{ json: JsonValue }>(tie => ({
      json: fc.oneof(
        { maxDepth: 6, withCrossShrink: true },
        fc.constant(null),
        fc.boolean(),
        fc.double({ noNaN: true, noDefaultInfinity: true }),
        text,
        fc.array(tie('json'), { maxLength: 4 }),
        fc.dictionary(text, tie('json'), { maxKeys: 4 }),
      ),
    }));
    fc.assert(
      fc.property(fc.dictionary(text, json, { maxKeys: 4 }), claims => {
        const decoded = claimsIn(['other', { x: 1 }], [JWT_NAMESPACE, { 'jwt-0': claims }]);
        assert.deepEqual(decoded, { 'jwt-0': plain(claims) });
      }),
    );
  });

  it('are none where Envoy accepted no token', () => {
    assert.equal(claimsIn(), undefined);
    assert.equal(claimsIn(['other', { 'jwt-0': { sub: 'x' } }]), undefined);
    assert.equal(decodedHeaders(headersFrame([['authorization', 'Bearer x']], true)).jwt, undefined);
  });

  it('have no prototype: a claim that is called like a method is a claim', () => {
    const jwt = decodedHeaders(claimsFrame([JWT_NAMESPACE, { ['__proto__']: { admin: true } }])).jwt;
    assert.deepEqual(Object.keys(jwt ?? {}), ['__proto__']);
    assert.equal(jwt?.admin, undefined);
    assert.equal(jwt?.toString, undefined);
  });

  it('are the same object at every question', () => {
    const headers = decodedHeaders(claimsFrame([JWT_NAMESPACE, { 'jwt-0': {} }]));
    assert.equal(headers.jwt, headers.jwt);
  });

  it('are none where they are deeper than anybody’s, or damaged', () => {
    const nested = (depth: number): JsonObject => ({ a: depth === 0 ? 1 : nested(depth - 1) });
    assert.ok(claimsIn([JWT_NAMESPACE, nested(30)]));
    assert.equal(claimsIn([JWT_NAMESPACE, nested(40)]), undefined);
    const valid = claimsFrame([JWT_NAMESPACE, { 'jwt-0': { sub: 'x', groups: ['a', 1, true, null, { b: 2 }] } }]);
    const change = fc.tuple(fc.nat(valid.length - 1), fc.nat(255));
    fc.assert(
      fc.property(change, ([at, byte]) => {
        const decoded = decodeProcessingRequest(valid.with(at, byte));
        if (decoded.kind === 'request_headers') void decoded.jwt;
      }),
      { numRuns: 2_000 },
    );
  });
});

describe('a request body', () => {
  it('is the bytes that the generated code encoded', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 5_000 }), fc.boolean(), (body, endOfStream) => {
        const decoded = decodeProcessingRequest(
          encode({ request: { case: 'requestBody', value: { body, endOfStream } } }),
        );
        assert.ok(decoded.kind === 'request_body');
        assert.deepEqual(Buffer.from(decoded.body), Buffer.from(body));
        assert.equal(decoded.endOfStream, endOfStream);
      }),
    );
  });

  it('is a view of the frame', () => {
    const frame = encode({ request: { case: 'requestBody', value: { body: new Uint8Array(1_000_000) } } });
    const decoded = decodeProcessingRequest(frame);
    assert.ok(decoded.kind === 'request_body');
    assert.equal(decoded.body.buffer, frame.buffer);
  });
});

describe('a frame', () => {
  it('may be the response trailers', () => {
    const frame = encode({ request: { case: 'responseTrailers', value: { trailers: { headers: [{ key: 'a' }] } } } });
    assert.equal(decodeProcessingRequest(frame).kind, 'response_trailers');
  });

  it('may carry fields that nobody reads, of every wire type', () => {
    const known = encode({ request: { case: 'requestBody', value: { body: Buffer.from('{}') } } });
    // varint 10 (observability_mode), length 8 (metadata_context), fixed64 20, fixed32 21
    const unread = Buffer.from('5001' + '42020a00' + 'a1010102030405060708' + 'ad0101020304', 'hex');
    for (const frame of [Buffer.concat([known, unread]), Buffer.concat([unread, known])]) {
      const decoded = decodeProcessingRequest(frame);
      assert.ok(decoded.kind === 'request_body');
      assert.equal(String(decoded.body), '{}');
    }
  });

  for (const [what, hex] of Object.entries({
    'nothing at all': '',
    'response headers, which are never asked for': '1a00',
    'a length beyond the end': '12050a',
    'a number that does not end': '12ffffffffffffffffffffff',
    'field number 0': '0200',
    'a group': '13',
    'a broken inner message': '22020a7f',
  })) {
    it(`is "other" when it is ${what}`, () => {
      assert.equal(decodeProcessingRequest(Buffer.from(hex, 'hex')).kind, 'other');
    });
  }

  it('of garbage, or cut or changed anywhere, never throws', () => {
    const valid = headersFrame(
      [
        [':path', '/v1/chat/completions'],
        ['x-model', 'llama'],
      ],
      true,
    );
    const damaged = fc.oneof(
      fc.uint8Array({ maxLength: 200 }),
      fc.integer({ min: 0, max: valid.length }).map(end => valid.subarray(0, end)),
      fc.tuple(fc.nat(valid.length - 1), fc.nat(255)).map(([at, byte]) => valid.with(at, byte)),
    );
    fc.assert(
      fc.property(damaged, frame => {
        const decoded = decodeProcessingRequest(frame);
        if (decoded.kind === 'request_headers') decoded.headers.get('x-model');
      }),
      { numRuns: 1_000 },
    );
  });
});
