import assert from 'node:assert/strict';
import { test } from 'node:test';
import { exchangeOn, inFlight, plane, refusalOf } from './exchange.fixture.ts';
import type { DataPlane } from './exchange.ts';

test('a request is asked for its body, picked, reserved, renamed, and released when its stream ends', () => {
  const dataPlane = plane();
  const { exchange, replies, headers, body } = exchangeOn(dataPlane);
  headers({});
  assert.equal(replies[0]?.response.case, 'requestHeaders');
  body('{"model":"alias","messages":[]}');
  const routed = replies[1]?.response;
  assert.equal(routed?.case, 'requestBody');
  const common = routed?.case === 'requestBody' ? routed.value.response : undefined;
  assert.equal(common?.clearRouteCache, true);
  const set = new Map(
    common?.headerMutation?.setHeaders.map(({ header }) => [header?.key, String(Buffer.from(header?.rawValue ?? []))]),
  );
  assert.equal(set.get('x-fairlead-cluster'), 'ns/m');
  assert.equal(set.get('x-envoy-max-retries'), '1');
  assert.equal(set.get('content-length'), '34');
  const mutation = common?.bodyMutation?.mutation;
  assert.equal(
    String(Buffer.from(mutation?.case === 'body' ? mutation.value : [])),
    '{"model":"upstream","messages":[]}',
  );
  const metadata = replies[1]?.dynamicMetadata as Record<string, Record<string, string>>;
  assert.match(metadata['envoy.lb']?.['x-gateway-destination-endpoint'] ?? '', /^1\.1\.1\.[12]:1,1\.1\.1\.[12]:1$/);
  assert.equal(metadata.fairlead?.admitted, '1');
  assert.equal(inFlight(dataPlane), 1);
  exchange.closed();
  assert.equal(inFlight(dataPlane), 0);
});

test('what the headers tell is refused before a byte of body is asked for', () => {
  const cases: [headers: Record<string, string>, details: string][] = [
    [{ ':path': '/v1/nothing' }, 'fairlead_route_not_found'],
    [{ ':method': 'GET' }, 'fairlead_method_not_allowed'],
    [{ 'content-type': 'multipart/form-data; boundary=x' }, 'fairlead_unsupported_media_type'],
    [{ 'content-length': '101' }, 'fairlead_request_too_large'],
    [{ 'x-model': 'other' }, 'fairlead_model_not_found'],
    [{ ':path': '/v1/embeddings/m' }, 'fairlead_unsupported_endpoint'],
    [{ ':path': '/v1/chat/m', 'x-model': 'other' }, 'fairlead_model_mismatch'],
  ];
  for (const [more, details] of cases) {
    const { replies, headers } = exchangeOn(plane());
    headers(more);
    assert.equal(refusalOf(replies[0]), details);
    assert.equal(replies.length, 1);
  }
});

test('a request without a body is refused at once', () => {
  const { replies, headers } = exchangeOn(plane());
  headers({}, true);
  assert.equal(refusalOf(replies[0]), 'fairlead_invalid_json');
});

test('a refusal is told to be of who asked, and of the model that was asked for, where there is one', () => {
  const modelOf = (more: Record<string, string>, text = '') => {
    const { replies, headers, body } = exchangeOn(plane());
    headers(more);
    if (replies[0]?.response.case === 'requestHeaders') body(text);
    assert.equal(replies.at(-1)?.response.case, 'immediateResponse');
    return replies.at(-1)?.dynamicMetadata;
  };
  const ofModel = { fairlead: { consumer: 'anonymous', model: 'm' } };
  assert.deepEqual(modelOf({ ':path': '/v1/embeddings/alias' }), ofModel);
  assert.deepEqual(modelOf({ 'x-model': 'alias' }, '{"model":"other"}'), ofModel);
  assert.deepEqual(modelOf({ 'x-model': 'm' }, '['), ofModel);
  assert.deepEqual(modelOf({}, '{"model":"other"}'), { fairlead: { consumer: 'anonymous' } });
  assert.equal(modelOf({ ':path': '/nowhere' }), undefined);
});

test('the decision log has what was known and what was chosen', () => {
  const dataPlane = plane();
  const { headers, body } = exchangeOn(dataPlane);
  headers({});
  body('{"model":"m"}');
  const event = JSON.parse(dataPlane.lines.find(line => line.includes('pick.decided')) ?? '{}');
  assert.equal(event.id, 'id-1');
  assert.equal(event.chosen.length, 2);
  assert.deepEqual(
    event.candidates.map((view: { inFlight: number }) => view.inFlight),
    [0, 0],
  );
});

test('a part of a request that comes twice, or without the one before, reserves nothing', () => {
  const dataPlane = plane();
  const { exchange, replies, headers, body } = exchangeOn(dataPlane);
  headers({});
  body('{"model":"m"}');
  for (const again of [() => body('{"model":"m"}'), () => headers({})]) {
    again();
    assert.equal(refusalOf(replies.at(-1)), 'fairlead_internal_error');
    assert.equal(inFlight(dataPlane), 1);
  }
  exchange.closed();
  assert.equal(inFlight(dataPlane), 0);

  const early = exchangeOn(dataPlane);
  early.body('{"model":"m"}');
  assert.equal(refusalOf(early.replies[0]), 'fairlead_internal_error');
  assert.equal(inFlight(dataPlane), 0);
});

test('a mistake of ours answers 500 and is logged; a message that is none ends the stream', () => {
  const dataPlane = plane();
  const broken: DataPlane = {
    ...dataPlane,
    nextId: () => {
      throw new Error('out of ids');
    },
  };
  const failing = exchangeOn(broken);
  failing.headers({});
  failing.body('{"model":"m"}');
  assert.equal(refusalOf(failing.replies[1]), 'fairlead_internal_error');
  assert.ok(dataPlane.lines.some(line => line.includes('out of ids')));

  const garbled = exchangeOn(plane());
  garbled.exchange.message(Buffer.from([0xff]));
  assert.equal(garbled.ended(), true);
});
