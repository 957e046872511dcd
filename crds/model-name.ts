import { z } from 'zod';
import { expecting, show } from './wording.ts';

/** Requests with a longer model name are refused before it is looked up, bytes. */
export const MAX_MODEL_NAME_BYTES = 256;

/** A name that clients send: of a model, or of one of its aliases. */
export function publicName() {
  return upstreamName().refine(name => !name.includes('@'), {
    error: issue => `${show(issue.input)} may not contain \`@\`: it separates a name from its version`,
  });
}

/** A name that a model server knows its model by. */
export function upstreamName() {
  return z
    .string(expecting('a name'))
    .min(1, 'expected a name, got an empty string')
    .max(MAX_MODEL_NAME_BYTES, { error: `longer than ${MAX_MODEL_NAME_BYTES} bytes`, abort: true })
    .refine(name => Buffer.byteLength(name) <= MAX_MODEL_NAME_BYTES, {
      error: `longer than ${MAX_MODEL_NAME_BYTES} bytes`,
      abort: true,
    })
    .refine(name => !/\p{Cc}/u.test(name), {
      error: issue => `${show(issue.input)} has a control character`,
      abort: true,
    })
    .refine(name => name.trim() === name, {
      error: issue => `${show(issue.input)} begins or ends with a space`,
    });
}
