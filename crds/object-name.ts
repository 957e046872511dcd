import { z } from 'zod';
import { expecting } from './wording.ts';

// https://kubernetes.io/docs/concepts/overview/working-with-objects/names/
export const LABEL_PATTERN = '^[a-z0-9]([-a-z0-9]*[a-z0-9])?$';
export const SUBDOMAIN_PATTERN = '^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$';

const LABEL = new RegExp(LABEL_PATTERN);
const SUBDOMAIN = new RegExp(SUBDOMAIN_PATTERN);
const MAX_LABEL_CHARACTERS = 63;
const MAX_SUBDOMAIN_CHARACTERS = 253;

/** A name that may be part of a resource's name: an RFC 1123 label. */
export function labelName() {
  const form = expecting('lower-case letters, digits and dashes', asName);
  return z
    .string(form)
    .regex(LABEL, form)
    .max(MAX_LABEL_CHARACTERS, expecting(`at most ${MAX_LABEL_CHARACTERS} characters`));
}

/** What Kubernetes allows as the name of an object: an RFC 1123 subdomain. */
export function objectName() {
  const form = expecting('lower-case letters, digits, dashes and dots', asName);
  return z
    .string(form)
    .regex(SUBDOMAIN, form)
    .max(MAX_SUBDOMAIN_CHARACTERS, expecting(`at most ${MAX_SUBDOMAIN_CHARACTERS} characters`));
}

function asName(given: unknown): string | undefined {
  if (typeof given !== 'string' && typeof given !== 'number') return undefined;
  const name = String(given)
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, '-')
    .replaceAll(/^-|-$/g, '');
  return name === '' || name === given ? undefined : name;
}
