import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ApiConnection, type ApiRequest, type Reply } from '../api/api-connection.ts';
import { type EventLost, EventRecorder, type Regarding } from './event-recorder.ts';

/** An API server that takes everything, or nothing. */
class TestApi extends ApiConnection {
  readonly sent: ApiRequest[] = [];
  reply: () => Promise<Reply> = async () => ({ object: {} });

  constructor() {
    super({ server: 'https://127.0.0.1', authorize: async () => {} });
  }

  override async send(request: ApiRequest): Promise<Reply> {
    this.sent.push(request);
    return this.reply();
  }
}

function recording() {
  const api = new TestApi();
  const lost: EventLost[] = [];
  const stopped = new AbortController();
  const recorder = new EventRecorder({ api, signal: stopped.signal, onEvent: event => lost.push(event) });
  return { api, lost, stopped, recorder };
}

function model(name: string): Regarding {
  return { kind: 'ModelDeployment', namespace: 'ml', name, uid: `uid-${name}` };
}

const TRANSITION = { type: 'Normal', reason: 'Ready', note: '4/5 endpoints' } as const;

async function settled(): Promise<void> {
  for (let i = 0; i < 100; i++) await new Promise(resolve => setImmediate(resolve));
}

test('an Event is about its object, and has the form that the API asks for', async () => {
  const { api, recorder } = recording();
  recorder.record(model('a.'.repeat(115).concat('b')), { ...TRANSITION, note: 'ä'.repeat(600) });
  await settled();
  const [{ method, path, body } = assert.fail()] = api.sent;
  assert.deepEqual([method, path], ['POST', '/apis/events.k8s.io/v1/namespaces/ml/events']);
  const { metadata, eventTime, note } = body as { metadata: { name: string }; eventTime: string; note: string };
  assert.match(metadata.name, /^(a\.){114}a\.[0-9a-f]{16}$/);
  assert.match(eventTime, /\.\d{6}Z$/);
  assert.equal(note, 'ä'.repeat(512));
});

test('an object that changes all the time has ten Events, and the others have theirs', async () => {
  const { api, recorder } = recording();
  for (let i = 0; i < 100; i++) recorder.record(model('a'), TRANSITION);
  recorder.record(model('b'), TRANSITION);
  await settled();
  assert.equal(api.sent.length, 11);
});

test('an Event that the API server does not take is told of, and not tried again', async () => {
  const { api, lost, recorder } = recording();
  api.reply = async () => ({ failure: { code: 403, message: 'no' } });
  recorder.record(model('a'), TRANSITION);
  await settled();
  api.reply = () => Promise.reject(new Error('gone'));
  recorder.record(model('b'), TRANSITION);
  await settled();
  assert.equal(api.sent.length, 2);
  assert.deepEqual(
    lost.map(({ resource, reason }) => `${resource}: ${reason}`),
    ['ModelDeployment ml/a: no', 'ModelDeployment ml/b: gone'],
  );
});

test('what waits is bounded, and nothing is sent once it is stopped', async () => {
  const { api, lost, stopped, recorder } = recording();
  const { promise, resolve } = Promise.withResolvers<Reply>();
  api.reply = () => promise;
  for (let i = 0; i < 2_100; i++) recorder.record(model(`m${i}`), TRANSITION);
  assert.equal(lost.length, 99, 'of 2,100 one is under way and 2,000 wait');
  stopped.abort();
  resolve({ object: {} });
  await settled();
  assert.equal(api.sent.length, 1);
});
