import { type Refusal, refuse } from '../../errors/refusal.ts';
import { acceptVersions, checkVersions, pathVersion, takeVersions } from './api-version.ts';
import { INFERENCE_ENDPOINTS, type InferenceEndpoint } from './endpoints.ts';
import { checkModelName, refuseModelName } from './model-name.ts';

/** What a request is for, as far as its method and path tell. */
export type Target =
  | {
      readonly kind: 'inference';
      readonly endpoint: InferenceEndpoint;
      /** The model, where the path names it: decoded and checked. */
      readonly model: string | undefined;
      /** Path and query for upstream: the endpoint's own path, without the model. */
      readonly path: string;
    }
  | { readonly kind: 'models' }
  | { readonly kind: 'model'; readonly name: string }
  | { readonly kind: 'usage' }
  | { readonly kind: 'ready' };

const MODELS_PATH = '/v1/models';
const USAGE_PATH = '/v1/usage';
const READY_PATHS = ['/readyz', '/health'];
/** Longest part of an unknown path that its error repeats. */
const MAX_SHOWN_PATH_CHARACTERS = 100;

type InferenceTarget = Extract<Target, { kind: 'inference' }>;

/** Ready-made targets of the requests that name nothing but an endpoint: nearly all. */
const EXACT: ReadonlyMap<string, InferenceTarget> = new Map(
  INFERENCE_ENDPOINTS.map(endpoint => [
    endpoint.path,
    Object.freeze({ kind: 'inference', endpoint, model: undefined, path: endpoint.path }),
  ]),
);

/** What a model's name may follow; a path before its short form: in /v1/chat/completions/x the model is x. */
const PREFIXES = INFERENCE_ENDPOINTS.flatMap(endpoint =>
  [endpoint.path, endpoint.shortPath].flatMap(path => (path === undefined ? [] : [{ prefix: `${path}/`, endpoint }])),
);

/**
 * Finds what a request is for.
 *
 * Endpoints are matched as they are written, without decoding: Envoy has already resolved dot segments and doubled
 * slashes. Names of models are percent-decoded once, so `a%2Fb` and `a/b` are one name. One slash at the end is
 * ignored. HEAD is served as GET: Envoy leaves the body away. A path without version is served where Accept or the
 * query names it.
 *
 * @param path path and query as they came, `:path`
 * @returns the target, or `route_not_found`, `method_not_allowed` (with `allow`), `unsupported_version`,
 * `invalid_parameter` (the path's model)
 */
export function parseTarget(method: string, path: string, accept: string | undefined): Target | Refusal {
  const accepted = acceptVersions(accept);
  const exact = method === 'POST' && accepted.length === 0 ? EXACT.get(path) : undefined;
  if (exact !== undefined) return exact;

  const question = path.indexOf('?');
  const { rest: query, versions } = takeVersions(question < 0 ? '' : path.slice(question + 1));
  const asked = accepted.concat(versions);
  const written = withoutLastSlash(question < 0 ? path : path.slice(0, question));
  const inPath = pathVersion(written);
  const wrongVersion = checkVersions(inPath === undefined ? asked : [inPath, ...asked]);
  if (wrongVersion !== undefined) return wrongVersion;

  if (READY_PATHS.includes(written)) return getOnly(method, { kind: 'ready' });
  const versioned = inPath === undefined && asked.length > 0 ? `/v1${written}` : written;
  if (versioned === USAGE_PATH) return getOnly(method, { kind: 'usage' });
  return findModels(method, versioned) ?? findInference(method, versioned, query) ?? refusePath(method, written);
}

function withoutLastSlash(path: string): string {
  return path.endsWith('/') && path.length > 1 ? path.slice(0, -1) : path;
}

function findModels(method: string, path: string): Target | Refusal | undefined {
  if (path === MODELS_PATH) return getOnly(method, { kind: 'models' });
  if (!path.startsWith(`${MODELS_PATH}/`)) return undefined;
  const name = decodeName(path.slice(MODELS_PATH.length + 1));
  return typeof name === 'string' ? getOnly(method, { kind: 'model', name }) : name;
}

function getOnly(method: string, target: Target): Target | Refusal {
  return method === 'GET' || method === 'HEAD' ? target : refuseMethod('GET, HEAD');
}

function findInference(method: string, path: string, query: string): Target | Refusal | undefined {
  const endpoint = EXACT.get(path)?.endpoint;
  const named = endpoint === undefined ? PREFIXES.find(({ prefix }) => path.startsWith(prefix)) : undefined;
  const found = endpoint ?? named?.endpoint;
  if (found === undefined) return undefined;
  if (method !== 'POST') return refuseMethod('POST');
  const model = named && decodeName(path.slice(named.prefix.length));
  if (typeof model === 'object') return model;
  return { kind: 'inference', endpoint: found, model, path: query === '' ? found.path : `${found.path}?${query}` };
}

function decodeName(written: string): string | Refusal {
  try {
    const name = decodeURIComponent(written);
    return checkModelName(name) ?? name;
  } catch {
    return refuseModelName('is not percent-encoded UTF-8. Write "/" as it is or as %2F, and "%" as %25.');
  }
}

function refuseMethod(allow: string): Refusal {
  return refuse('method_not_allowed', {
    message: `This endpoint does not answer that method. It answers ${allow}.`,
    headers: { allow },
  });
}

function refusePath(method: string, path: string): Refusal {
  const meant = [`/v1${path}`, path.replace(/^\/v1(?=\/v1\/)/, '')].find(other => other !== path && EXACT.has(other));
  const advice = meant ? `Did you mean ${meant}?` : 'The OpenAI endpoints are under /v1/.';
  return refuse('route_not_found', { message: `No such endpoint: ${shown(method)} ${shown(path)}. ${advice}` });
}

/** Text of the client's that can stand in an error or a log: bounded, without control characters. */
function shown(text: string): string {
  const start = text.slice(0, MAX_SHOWN_PATH_CHARACTERS).replace(/[^\x20-\x7e]/g, '?');
  return text.length > MAX_SHOWN_PATH_CHARACTERS ? `${start}…` : start;
}
