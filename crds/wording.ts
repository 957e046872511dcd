/** Longer values are cut in messages, characters. */
const MAX_SHOWN_CHARACTERS = 60;

/** A key that `fairlead keys new` made, in place of something else: no message shows it. */
const KEY = /^\s*fl-[A-Za-z0-9_-]{20,}/;

/** A value as a message shows it: short, on one line, without control characters. */
export function show(value: unknown): string {
  if (value === undefined || value === null) return 'nothing';
  if (Array.isArray(value)) return 'a list';
  if (typeof value === 'object') return 'a mapping';
  if (isKey(value)) return 'what looks like a key: keep it secret';
  const text = typeof value === 'string' ? JSON.stringify(value).slice(1, -1) : String(value);
  return `\`${text.length > MAX_SHOWN_CHARACTERS ? `${text.slice(0, MAX_SHOWN_CHARACTERS)}…` : text}\``;
}

function isKey(value: unknown): boolean {
  return typeof value === 'string' && KEY.test(value);
}

/** The end of a message that knows what was meant; empty when it does not. */
export function didYouMean(nearest: string | undefined): string {
  return nearest === undefined ? '' : `; did you mean \`${nearest}\`?`;
}

interface RawIssue {
  readonly input?: unknown;
}

/**
 * The `error` option of a zod schema whose values have a form of their own: says the form, and what was given.
 * `suggest` may know a right value that is near.
 */
export function expecting(
  form: string,
  suggest: (given: unknown) => string | undefined = () => undefined,
): { error: (issue: RawIssue) => string } {
  return {
    error: ({ input }) =>
      input === undefined
        ? `is missing: expected ${form}`
        : `expected ${form}, got ${show(input)}${isKey(input) ? '' : didYouMean(suggest(input))}`,
  };
}
