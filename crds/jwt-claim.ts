import { z } from 'zod';
import { expecting } from './wording.ts';

/** Names of claims, joined by dots from level to level; `https://acme.example/team` is a name, too. */
const CLAIM_PATH = /^[A-Za-z0-9_:/-]{1,128}([.][A-Za-z0-9_:/-]{1,128}){0,7}$/;
/** That one Consumer asks for in one token. */
export const MAX_CLAIMS = 16;
const MAX_ISSUER_CHARACTERS = 1_024;

/** Where a claim stands in a token: `sub`, or `org.team` for one inside another. */
export function claimPath() {
  const form = expecting('the path of a claim, such as `sub` or `org.team`');
  return z.string(form).regex(CLAIM_PATH, form);
}

/** Whether `text` is such a path. */
export function isClaimPath(text: string): boolean {
  return CLAIM_PATH.test(text);
}

/** An issuer as the claim `iss` has it: https://www.rfc-editor.org/rfc/rfc7519#section-4.1.1 */
export function issuerName() {
  const form = expecting('the issuer of tokens as their claim `iss` has it, such as `https://id.example.com`');
  return z
    .string(form)
    .min(1, form)
    .max(MAX_ISSUER_CHARACTERS)
    .refine(text => !/[\p{Cc}\s]/u.test(text), form);
}
