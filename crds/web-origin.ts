import { z } from 'zod';
import { expecting } from './wording.ts';

/**
 * An origin as browsers send it (https://www.rfc-editor.org/rfc/rfc6454#section-6.2), `*.` before a host of two labels
 * or more for all of its subdomains, or `*` for every origin. RE2 and JavaScript read it alike.
 */
export const ORIGIN_PATTERN =
  '^([*]|[a-z][a-z0-9+.-]*://([a-z0-9_-]+([.][a-z0-9_-]+)*|[*]([.][a-z0-9_-]+){2,}|\\[[0-9a-f:.]+\\])(:[1-9][0-9]{0,4})?)$';
/** Browsers leave the usual port out, so that an origin with it would match nothing. */
export const USUAL_PORT_PATTERN = '^(https://.*:443|http://.*:80)$';

const ORIGIN = new RegExp(ORIGIN_PATTERN);
const USUAL_PORT = new RegExp(USUAL_PORT_PATTERN);
const MAX_ORIGIN_CHARACTERS = 253;

/** Who may ask from a browser, as the header Origin names it. */
export function webOrigin() {
  const form = expecting('an origin such as `https://app.example.com`, `https://*.example.com` or `*`', asOrigin);
  return z
    .string(form)
    .max(MAX_ORIGIN_CHARACTERS, expecting(`at most ${MAX_ORIGIN_CHARACTERS} characters`))
    .refine(isOrigin, form);
}

function isOrigin(text: string): boolean {
  return ORIGIN.test(text) && !USUAL_PORT.test(text);
}

/** The origin of what looks like an address of it; undefined where nothing is near. */
function asOrigin(given: unknown): string | undefined {
  if (typeof given !== 'string') return undefined;
  const url = given.includes('://') || !given.includes('.') ? given : `https://${given}`;
  const [, origin = '', scheme, port] = /^(([a-z][a-z0-9+.-]*):\/\/[^/?#\s:]+(:\d+)?)/.exec(url.toLowerCase()) ?? [];
  const usual = (scheme === 'https' && port === ':443') || (scheme === 'http' && port === ':80');
  const near = usual ? origin.slice(0, -(port?.length ?? 0)) : origin;
  return isOrigin(near) && near !== given ? near : undefined;
}
