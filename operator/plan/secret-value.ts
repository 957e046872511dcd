import type { SecretContent } from '../source/cluster-state.ts';

/** One value of a Secret, or why there is none. */
export type SecretValue =
  | { readonly value: Uint8Array; readonly problem?: never }
  | { readonly value?: never; readonly problem: string };

const LINE_FEED = 10;
const CARRIAGE_RETURN = 13;

/** What a Secret holds under a key, without the line ends that editors put after it. */
export function secretValue(content: SecretContent | undefined, key: string): SecretValue {
  if (content === undefined) return { problem: 'not read yet' };
  if (content.data === undefined) return { problem: content.failure };
  const stored = Object.hasOwn(content.data, key) ? content.data[key] : undefined;
  if (stored === undefined) return { problem: `no key "${key}"` };
  let end = stored.length;
  while (end > 0 && (stored[end - 1] === LINE_FEED || stored[end - 1] === CARRIAGE_RETURN)) end -= 1;
  return end === 0 ? { problem: `"${key}" is empty` } : { value: stored.subarray(0, end) };
}
