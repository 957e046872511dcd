import { type Refusal, refuse } from '../../errors/refusal.ts';
import { parseHeaderValue } from './header-value.ts';

/** The one version of the API that there is, as it is written in paths (`/v1/`), in Accept and in the query. */
const API_VERSION = '1';

const VERSIONED_TYPE = 'application/vnd.fairlead+json';
const VERSIONED_PATH = /^\/v([0-9]+)(?=\/|$)/;

const NO_VERSIONS: readonly string[] = [];

/** The version that a path starts with, "1" in /v1/models. */
export function pathVersion(path: string): string | undefined {
  return VERSIONED_PATH.exec(path)?.[1];
}

/** Versions that an Accept header asks for, by `application/vnd.fairlead+json;version=1`. */
export function acceptVersions(accept: string | undefined): readonly string[] {
  if (accept === undefined || !/vnd\.fairlead/i.test(accept)) return NO_VERSIONS;
  return accept.split(',').flatMap(range => {
    const type = parseHeaderValue(range.trim());
    const version = type?.value === VERSIONED_TYPE ? type.parameters.get('version') : undefined;
    return version === undefined ? [] : [version];
  });
}

/** Takes our own parameter, `version`, out of a query string (without question mark); the rest stays as it is. */
export function takeVersions(query: string): { readonly rest: string; readonly versions: readonly string[] } {
  if (!query.includes('version')) return { rest: query, versions: NO_VERSIONS };
  const pairs = query.split('&');
  const isOurs = (pair: string) => pair === 'version' || pair.startsWith('version=');
  return {
    rest: pairs.filter(pair => !isOurs(pair)).join('&'),
    versions: pairs.filter(isOurs).map(pair => pair.slice('version='.length)),
  };
}

/** Why the versions that a request names, wherever it does, cannot be served; undefined when they can. */
export function checkVersions(versions: readonly string[]): Refusal | undefined {
  if (versions.every(version => version === API_VERSION)) return undefined;
  const message =
    new Set(versions).size > 1 ? 'The request asks for two versions of the API. Ask for version 1 only.' : undefined;
  return refuse('unsupported_version', { param: 'version', ...(message && { message }) });
}
