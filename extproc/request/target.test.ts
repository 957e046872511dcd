import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { isRefusal } from '../../errors/refusal.ts';
import { INFERENCE_ENDPOINTS } from './endpoints.ts';
import { parseTarget } from './target.ts';

const VERSION_1 = 'application/vnd.fairlead+json;version=1';
const VERSION_2 = 'application/vnd.fairlead+json;version=2';

/** What a target comes down to, on one line. */
function told(method: string, path: string, accept?: string): string {
  const target = parseTarget(method, path, accept);
  if (isRefusal(target)) return target.code;
  if (target.kind === 'inference')
    return `${target.endpoint.path} model=${target.model ?? '-'} upstream=${target.path}`;
  return target.kind === 'model' ? `model ${target.name}` : target.kind;
}

const CHAT = '/v1/chat/completions';

const POSTS: [path: string, expected: string][] = [
  [CHAT, `${CHAT} model=- upstream=${CHAT}`],
  [`${CHAT}/`, `${CHAT} model=- upstream=${CHAT}`],
  // Path names the model.
  [`${CHAT}/llama`, `${CHAT} model=llama upstream=${CHAT}`],
  [`${CHAT}/llama/`, `${CHAT} model=llama upstream=${CHAT}`],
  [`${CHAT}/meta-llama/Llama-3.1-8B`, `${CHAT} model=meta-llama/Llama-3.1-8B upstream=${CHAT}`],
  [`${CHAT}/meta-llama%2FLlama-3.1-8B`, `${CHAT} model=meta-llama/Llama-3.1-8B upstream=${CHAT}`],
  [`${CHAT}/llama@2`, `${CHAT} model=llama@2 upstream=${CHAT}`],
  [`${CHAT}/llama%402`, `${CHAT} model=llama@2 upstream=${CHAT}`],
  [`${CHAT}/mod%C3%A8le`, `${CHAT} model=modèle upstream=${CHAT}`],
  [`${CHAT}/a+b`, `${CHAT} model=a+b upstream=${CHAT}`],
  [`${CHAT}/a%252Fb`, `${CHAT} model=a%2Fb upstream=${CHAT}`],
  ['/v1/embeddings/bge/m3', '/v1/embeddings model=bge/m3 upstream=/v1/embeddings'],
  ['/v1/audio/transcriptions/whisper', '/v1/audio/transcriptions model=whisper upstream=/v1/audio/transcriptions'],
  // Short forms.
  ['/v1/chat/llama', `${CHAT} model=llama upstream=${CHAT}`],
  ['/v1/chat/meta/llama', `${CHAT} model=meta/llama upstream=${CHAT}`],
  ['/v1/chat/completions-model', `${CHAT} model=completions-model upstream=${CHAT}`],
  ['/v1/completion/llama', '/v1/completions model=llama upstream=/v1/completions'],
  ['/v1/embedding/bge', '/v1/embeddings model=bge upstream=/v1/embeddings'],
  ['/v1/rerank/bge', '/v1/rerank model=bge upstream=/v1/rerank'],
  // The query passes, but for our own parameter.
  [`${CHAT}?a=1&b=%20`, `${CHAT} model=- upstream=${CHAT}?a=1&b=%20`],
  [`${CHAT}?version=1`, `${CHAT} model=- upstream=${CHAT}`],
  [`${CHAT}?a=1&version=1&b=2`, `${CHAT} model=- upstream=${CHAT}?a=1&b=2`],
  [`${CHAT}?api-version=2024&conversion=3`, `${CHAT} model=- upstream=${CHAT}?api-version=2024&conversion=3`],
  [`${CHAT}/llama?a=?&b=/`, `${CHAT} model=llama upstream=${CHAT}?a=?&b=/`],
  [`${CHAT}?`, `${CHAT} model=- upstream=${CHAT}`],
  // Versions.
  ['/v2/chat/completions', 'unsupported_version'],
  ['/v01/chat/completions', 'unsupported_version'],
  ['/v2', 'unsupported_version'],
  [`${CHAT}?version=2`, 'unsupported_version'],
  [`${CHAT}?version=`, 'unsupported_version'],
  [`${CHAT}?version`, 'unsupported_version'],
  [`${CHAT}?version=1&version=2`, 'unsupported_version'],
  ['/chat/completions?version=1', `${CHAT} model=- upstream=${CHAT}`],
  ['/chat/llama?version=1&x', `${CHAT} model=llama upstream=${CHAT}?x`],
  // What is not there.
  ['', 'route_not_found'],
  ['/', 'route_not_found'],
  ['*', 'route_not_found'],
  ['/v1', 'route_not_found'],
  ['/v1beta/chat/completions', 'route_not_found'],
  ['/chat/completions', 'route_not_found'],
  ['/v1/chat', 'route_not_found'],
  ['/v1/chat/', 'route_not_found'],
  ['/v1/completion', 'route_not_found'],
  ['/v1/chatter/llama', 'route_not_found'],
  ['/v1/chat%2Fcompletions', 'route_not_found'],
  ['/V1/chat/completions', 'route_not_found'],
  ['/v1/responses-api', 'route_not_found'],
  ['/v1/audio', 'route_not_found'],
  // What only GET answers.
  ['/v1/models', 'method_not_allowed'],
  ['/v1/models/llama', 'method_not_allowed'],
  ['/v1/usage', 'method_not_allowed'],
  ['/readyz', 'method_not_allowed'],
  // Names that cannot be.
  [`${CHAT}/a%2`, 'invalid_parameter'],
  [`${CHAT}/a%zz`, 'invalid_parameter'],
  [`${CHAT}/a%ff`, 'invalid_parameter'],
  [`${CHAT}/a%c0%af`, 'invalid_parameter'],
  [`${CHAT}/a%00b`, 'invalid_parameter'],
  [`${CHAT}/a%0d%0ab`, 'invalid_parameter'],
  [`${CHAT}/${'x'.repeat(257)}`, 'invalid_parameter'],
  [`${CHAT}//`, 'invalid_parameter'],
];

for (const [path, expected] of POSTS) {
  test(`POST ${path.slice(0, 60)} is ${expected}`, () => assert.equal(told('POST', path), expected));
}

const OTHERS: [method: string, path: string, expected: string][] = [
  ['GET', '/v1/usage', 'usage'],
  ['GET', '/usage?version=1', 'usage'],
  ['GET', '/v1/models', 'models'],
  ['HEAD', '/v1/models', 'models'],
  ['GET', '/v1/models/', 'models'],
  ['GET', '/v1/models?limit=3', 'models'],
  ['GET', '/models?version=1', 'models'],
  ['GET', '/models', 'route_not_found'],
  ['GET', '/v1/models/llama', 'model llama'],
  ['GET', '/v1/models/meta-llama/Llama-3.1-8B@2', 'model meta-llama/Llama-3.1-8B@2'],
  ['GET', '/v1/models/meta-llama%2FLlama-3.1-8B', 'model meta-llama/Llama-3.1-8B'],
  ['GET', '/v1/models/%', 'invalid_parameter'],
  ['GET', '/readyz', 'ready'],
  ['GET', '/health', 'ready'],
  ['GET', '/health/', 'ready'],
  ['HEAD', '/health', 'ready'],
  ['GET', '/health?version=1', 'ready'],
  ['GET', '/v1/health', 'route_not_found'],
  ['GET', CHAT, 'method_not_allowed'],
  ['HEAD', CHAT, 'method_not_allowed'],
  ['OPTIONS', CHAT, 'method_not_allowed'],
  ['PUT', '/v1/chat/llama', 'method_not_allowed'],
  ['post', CHAT, 'method_not_allowed'],
  ['DELETE', '/v1/models/llama', 'method_not_allowed'],
  ['GET', '/v2/models', 'unsupported_version'],
  ['CONNECT', '', 'route_not_found'],
];

for (const [method, path, expected] of OTHERS) {
  test(`${method} ${path} is ${expected}`, () => assert.equal(told(method, path), expected));
}

const ACCEPTS: [path: string, accept: string, expected: string][] = [
  [CHAT, 'application/json', `${CHAT} model=- upstream=${CHAT}`],
  [CHAT, 'text/event-stream, application/json;version=7', `${CHAT} model=- upstream=${CHAT}`],
  [CHAT, VERSION_1, `${CHAT} model=- upstream=${CHAT}`],
  [CHAT, 'application/vnd.fairlead+json', `${CHAT} model=- upstream=${CHAT}`],
  ['/chat/completions', VERSION_1, `${CHAT} model=- upstream=${CHAT}`],
  ['/chat/completions', 'application/vnd.fairlead+json', 'route_not_found'],
  [CHAT, `*/*;q=0.1, ${VERSION_1};q=0.9`, `${CHAT} model=- upstream=${CHAT}`],
  [CHAT, 'Application/Vnd.Fairlead+JSON; Version="1"', `${CHAT} model=- upstream=${CHAT}`],
  [CHAT, VERSION_2, 'unsupported_version'],
  [CHAT, `${VERSION_1}, ${VERSION_2}`, 'unsupported_version'],
  [`${CHAT}?version=1`, VERSION_2, 'unsupported_version'],
  ['/chat/completions?version=2', VERSION_1, 'unsupported_version'],
];

for (const [path, accept, expected] of ACCEPTS) {
  test(`${path} with accept: ${accept} is ${expected}`, () => assert.equal(told('POST', path, accept), expected));
}

test('two versions that disagree are told apart from one that does not exist', () => {
  const two = parseTarget('POST', `${CHAT}?version=2`, undefined);
  const other = parseTarget('POST', '/v2/chat/completions', undefined);
  assert.match(isRefusal(two) ? two.message : '', /two versions/);
  assert.match(isRefusal(other) ? other.message : '', /does not exist/);
});

test('the wrong method says which one is right', () => {
  const onPost = parseTarget('GET', CHAT, undefined);
  const onGet = parseTarget('POST', '/v1/models', undefined);
  assert.deepEqual(isRefusal(onPost) && onPost.headers, { allow: 'POST' });
  assert.deepEqual(isRefusal(onGet) && onGet.headers, { allow: 'GET, HEAD' });
});

test('an unknown path is named, and the likely one proposed', () => {
  const message = (path: string) => {
    const target = parseTarget('POST', path, undefined);
    return isRefusal(target) ? target.message : '';
  };
  assert.match(message('/foo?key=secret'), /^No such endpoint: POST \/foo\. /);
  assert.match(message('/'), /^No such endpoint: POST \/\. /);
  assert.match(message('/chat/completions'), /Did you mean \/v1\/chat\/completions\?/);
  assert.match(message('/v1/v1/embeddings'), /Did you mean \/v1\/embeddings\?/);
});

test('whatever is asked, the answer is bounded, printable and never a throw', () => {
  const path = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 400 }),
    fc.webPath({ size: 'large' }).map(path => `/v1/chat/completions${path}`),
    fc.string().map(text => `/v1/${text}`),
  );
  fc.assert(
    fc.property(
      fc.string({ maxLength: 200 }),
      path,
      fc.option(fc.string(), { nil: undefined }),
      (method, path, accept) => {
        const target = parseTarget(method, path, accept);
        if (!isRefusal(target)) return;
        assert.ok(target.message.length < 500);
        assert.match(target.message, /^[\x20-\x7e…]*$/);
      },
    ),
  );
});

test('any name comes back from any endpoint it is put behind, however it is encoded', () => {
  const name = fc
    .string({ unit: fc.constantFrom(...'aZ09-_./@:~+% é日'), minLength: 1, maxLength: 60 })
    .filter(name => !name.endsWith('/'));
  const form = fc.constantFrom(
    ...INFERENCE_ENDPOINTS.flatMap(endpoint =>
      [endpoint.path, endpoint.shortPath ?? endpoint.path].map(prefix => ({ prefix, path: endpoint.path })),
    ),
  );
  fc.assert(
    fc.property(name, form, fc.boolean(), (name, { prefix, path }, isSlashEncoded) => {
      const encoded = encodeURIComponent(name);
      const written = isSlashEncoded ? encoded : encoded.replaceAll('%2F', '/');
      const target = parseTarget('POST', `${prefix}/${written}`, undefined);
      assert.deepEqual(isRefusal(target) || target.kind !== 'inference' ? target : [target.model, target.path], [
        name,
        path,
      ]);
    }),
  );
});
