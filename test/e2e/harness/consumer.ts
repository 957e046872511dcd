import { randomBytes } from 'node:crypto';
import { digestOf, newApiKey } from '../../../extproc/identity/api-key.ts';
import type { Manifest } from './gateway.ts';

/** An API key, and what a Consumer has of it. */
export interface MadeKey {
  readonly key: string;
  readonly sha256: string;
}

/** A key as `fairlead keys new` makes it. */
export function makeKey(): MadeKey {
  return keyOf(newApiKey(randomBytes(32)));
}

/** A key that was made elsewhere. */
export function keyOf(key: string): MadeKey {
  return { key, sha256: digestOf(key) };
}

/** A Consumer as YAML would have it. */
export function consumer(name: string, spec: Readonly<Record<string, unknown>> = {}): Manifest {
  return { apiVersion: 'fairlead.dev/v1alpha1', kind: 'Consumer', metadata: { name }, spec };
}

/** The header by which a key or token is sent. */
export function bearer(secret: string): { readonly authorization: string } {
  return { authorization: `Bearer ${secret}` };
}
