import { z } from 'zod';
import { objectName } from './object-name.ts';
import { expecting } from './wording.ts';

/** https://kubernetes.io/docs/concepts/configuration/secret/#restriction-names-data */
export const SECRET_KEY_PATTERN = '^[-._A-Za-z0-9]+$';

const MAX_SECRET_KEY_CHARACTERS = 253;
const SECRET_KEY = new RegExp(SECRET_KEY_PATTERN);

/** A value in a Secret of the resource's namespace; a value in its place is never shown. */
export function secretKeyRef(defaultKey: string) {
  return z.strictObject(
    {
      name: objectName().describe('Name of the Secret.'),
      key: z
        .string(expecting('the name of a key in the Secret'))
        .max(MAX_SECRET_KEY_CHARACTERS, {
          ...expecting(`at most ${MAX_SECRET_KEY_CHARACTERS} characters`),
          abort: true,
        })
        .regex(SECRET_KEY, expecting('the name of a key in the Secret: letters, digits, `-`, `_` and `.`'))
        .default(defaultKey)
        .describe('Key in the Secret.'),
    },
    { error: unshown('a mapping with the `name` of a Secret') },
  );
}

/** The `error` option of a mapping or list that somebody may have put a secret in place of: says what was expected only. */
export function unshown(form: string) {
  return ({ code, input }: z.core.$ZodRawIssue): string | undefined => {
    if (code !== 'invalid_type') return undefined;
    return input === undefined ? `is missing: expected ${form}` : `expected ${form}`;
  };
}
