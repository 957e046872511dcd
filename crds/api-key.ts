import { z } from 'zod';
import { labelName } from './object-name.ts';
import { secretKeyRef, unshown } from './secret-ref.ts';
import { expecting, show } from './wording.ts';

const DIGEST = /^[0-9a-f]{64}$/i;
const MAX_DIGEST_CHARACTERS = 128;

const ADVICE = 'run `fairlead keys new`, which prints its digest';

// What stands here by mistake may be a key: no message shows it.
const digest = z
  .string({ error: unshown('the SHA-256 of a key, 64 hexadecimal digits') })
  .max(MAX_DIGEST_CHARACTERS, { error: ({ input }) => notADigest(String(input)), abort: true })
  .refine(text => DIGEST.test(text), { error: ({ input }) => notADigest(String(input)) })
  .toLowerCase();

const time = z.iso.datetime({
  offset: true,
  ...expecting('a time such as `2027-01-01T00:00:00Z`', given =>
    typeof given === 'string' && /^[0-9]{4}-[0-9]{2}-[0-9]{2}$/.test(given) && !Number.isNaN(Date.parse(given))
      ? `${given}T00:00:00Z`
      : undefined,
  ),
});

/** A key by its digest, or by the Secret that holds it. */
const apiKeySchema = z
  .strictObject(
    {
      name: labelName().optional().describe('What people call the key, unique in the resource.'),
      sha256: digest.optional().describe('SHA-256 of the key, as `fairlead keys new` prints it. Or `secretRef`.'),
      secretRef: secretKeyRef('api-key')
        .optional()
        .describe("Secret of the Consumer's namespace that holds the key itself, which never leaves it. Or `sha256`."),
      expires: time.optional().describe('From when on the key is refused; never when absent.'),
    },
    { error: unshown('a mapping with `sha256` or `secretRef`') },
  )
  .check(context => {
    if (context.issues.length > 0) return;
    const { sha256, secretRef } = context.value;
    if ((sha256 === undefined) !== (secretRef === undefined)) return;
    const message =
      sha256 === undefined ? 'needs either `sha256` or `secretRef`' : 'has both `sha256` and `secretRef`: one must go';
    const path = sha256 === undefined ? [] : ['secretRef'];
    context.issues.push({ code: 'custom', input: context.value, path, message });
  });

type ApiKeySpec = z.output<typeof apiKeySchema>;

const MAX_KEYS = 32;

/** The keys of a Consumer. */
export function apiKeys() {
  return z
    .array(apiKeySchema, { error: unshown('a list') })
    .max(MAX_KEYS)
    .check(checkKeys);
}

function checkKeys(context: z.core.ParsePayload<ApiKeySpec[]>): void {
  if (context.issues.length > 0) return;
  const keys = context.value;
  const refuse = (index: number, field: string, message: string) =>
    context.issues.push({ code: 'custom', input: keys, path: [index, field], message });
  for (const [index, { name, sha256, secretRef }] of keys.entries()) {
    const firstOf = (same: (key: ApiKeySpec) => boolean) => {
      const first = keys.findIndex(same);
      return first < index ? first : undefined;
    };
    const named = name === undefined ? undefined : firstOf(key => key.name === name);
    if (named !== undefined) refuse(index, 'name', `${show(name)} is already the name of apiKeys[${named}]`);
    const digested = sha256 === undefined ? undefined : firstOf(key => key.sha256 === sha256);
    if (digested !== undefined) refuse(index, 'sha256', `is the digest of apiKeys[${digested}] already`);
    const held =
      secretRef === undefined
        ? undefined
        : firstOf(key => key.secretRef?.name === secretRef.name && key.secretRef.key === secretRef.key);
    if (held !== undefined) refuse(index, 'secretRef', `is the key of apiKeys[${held}] already`);
  }
}

function notADigest(text: string): string {
  const isHex = /^[0-9a-f]*$/i.test(text);
  // Keys are longer than what anybody would write by hand, and no digest has other than hexadecimal digits.
  if (!isHex && text.length >= 20) return `this looks like a key: keep it secret and ${ADVICE}`;
  return `expected the SHA-256 of a key, 64 hexadecimal digits, got ${text.length} characters: ${ADVICE}`;
}
