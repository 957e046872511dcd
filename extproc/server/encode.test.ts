import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { fromBinary } from '@bufbuild/protobuf';
import fc from 'fast-check';
import { HeaderValueOption_HeaderAppendAction } from '../../proto/gen/envoy/config/core/v3/base_pb.js';
import {
  type HeaderMutation,
  type ProcessingResponse,
  ProcessingResponseSchema,
} from '../../proto/gen/envoy/service/ext_proc/v3/external_processor_pb.js';
import { CONTINUE, encodeImmediate, encodeRouting } from './encode.ts';

const decode = (reply: Uint8Array): ProcessingResponse => fromBinary(ProcessingResponseSchema, reply);

const text = fc.string({ unit: 'grapheme', maxLength: 300 }).filter(value => value.isWellFormed());
const key = fc.stringMatching(/^[a-z][a-z0-9.-]{0,20}$/);
const headers = fc.dictionary(key, text, { maxKeys: 12, noNullPrototype: true });
const metadata = fc.dictionary(key, fc.dictionary(key, text, { maxKeys: 6, noNullPrototype: true }), {
  maxKeys: 4,
  noNullPrototype: true,
});

/** What a mutation sets, after checking that each header takes the place of any that a client sent. */
function headersSet(mutation: HeaderMutation | undefined): Record<string, string> {
  const set: Record<string, string> = {};
  for (const { header, appendAction } of mutation?.setHeaders ?? []) {
    assert.equal(appendAction, HeaderValueOption_HeaderAppendAction.OVERWRITE_IF_EXISTS_OR_ADD);
    assert.ok(header !== undefined && header.value === '' && !(header.key in set));
    set[header.key] = Buffer.from(header.rawValue).toString();
  }
  return set;
}

describe('a routing reply', () => {
  it('says to the generated code what it was given', () => {
    const routing = fc.record({ setHeaders: headers, metadata });
    fc.assert(
      fc.property(routing, given => {
        const { response, dynamicMetadata } = decode(encodeRouting(given));
        assert.ok(response.case === 'requestBody');
        const common = response.value.response;
        assert.equal(common?.clearRouteCache, true);
        assert.equal(common?.bodyMutation, undefined);
        assert.deepEqual(headersSet(common?.headerMutation), given.setHeaders);
        assert.deepEqual(dynamicMetadata ?? {}, given.metadata);
      }),
    );
  });

  it('with a new body sets its content-length', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 2_000 }), body => {
        const reply = encodeRouting({
          setHeaders: { ':path': '/' },
          body,
          metadata: {},
        });
        const { response } = decode(reply);
        assert.ok(response.case === 'requestBody');
        const { bodyMutation, headerMutation } = response.value.response ?? {};
        assert.ok(bodyMutation?.mutation.case === 'body');
        assert.deepEqual([...bodyMutation.mutation.value], [...body]);
        assert.deepEqual(headersSet(headerMutation), { ':path': '/', 'content-length': String(body.length) });
      }),
    );
  });

  it('carries a body of megabytes, and leaves the writer fit for small ones', () => {
    const body = Buffer.alloc(20 * 1024 * 1024, 7);
    const large = encodeRouting({ setHeaders: {}, body, metadata: {} });
    const small = encodeRouting({ setHeaders: { a: 'b' }, metadata: {} });
    const { response } = decode(large);
    assert.ok(response.case === 'requestBody' && response.value.response?.bodyMutation?.mutation.case === 'body');
    assert.ok(body.equals(response.value.response.bodyMutation.mutation.value));
    const { response: after } = decode(small);
    assert.ok(after.case === 'requestBody' && after.value.response?.bodyMutation === undefined);
  });

  it('stays what it is when the next one is encoded', () => {
    const first = encodeRouting({ setHeaders: { a: '1' }, metadata: {} });
    const copy = Buffer.from(first);
    encodeRouting({ setHeaders: { a: '2222', b: '3' }, metadata: {} });
    assert.ok(copy.equals(first));
  });

  it('is not disturbed by one that failed half-way', () => {
    const wrong = { a: undefined as unknown as string, b: 7 as unknown as string };
    assert.throws(() => encodeRouting({ setHeaders: wrong, metadata: {} }));
    const { response } = decode(encodeRouting({ setHeaders: { a: '1' }, metadata: {} }));
    assert.ok(response.case === 'requestBody');
    assert.deepEqual(headersSet(response.value.response?.headerMutation), { a: '1' });
  });
});

describe('an immediate reply', () => {
  it('says to the generated code what it was given', () => {
    const statuses = fc.constantFrom(200, 400, 401, 404, 405, 413, 415, 429, 500, 503);
    fc.assert(
      fc.property(statuses, headers, text, key, metadata, (status, set, body, details, metadata) => {
        const reply = encodeImmediate({ status, headers: set, body, details, metadata });
        const { response, dynamicMetadata } = decode(reply);
        assert.ok(response.case === 'immediateResponse');
        assert.equal(response.value.status?.code, status);
        assert.deepEqual(headersSet(response.value.headers), set);
        assert.equal(Buffer.from(response.value.body).toString(), body);
        assert.equal(response.value.details, details);
        assert.deepEqual(dynamicMetadata ?? {}, metadata);
      }),
    );
  });
});

describe('the continue replies', () => {
  for (const [phase, expected] of [
    ['headers', 'requestHeaders'],
    ['trailers', 'responseTrailers'],
  ] as const) {
    it(`answer ${phase} and change nothing`, () => {
      const { response, dynamicMetadata } = decode(CONTINUE[phase]);
      assert.equal(response.case, expected);
      assert.equal(dynamicMetadata, undefined);
      assert.ok(CONTINUE[phase].length === 2);
    });
  }
});
