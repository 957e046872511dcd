import { isDeepStrictEqual } from 'node:util';
import type { z } from 'zod';
import type { FieldPath, FieldProblem } from './field-problem.ts';
import { describeIssue, oneOf, quotedList } from './issue-wording.ts';
import type { KnownFields } from './known-fields.ts';
import { nearestName } from './nearest-name.ts';
import { fieldsNotServed, valuesNotServed } from './not-served.ts';
import { didYouMean, show } from './wording.ts';

/** A value that fits its schema, or everything that is wrong with it. */
export type Checked<Value> =
  | { readonly value: Value; readonly problems?: never }
  | { readonly value?: never; readonly problems: readonly FieldProblem[] };

/** Checks a document against its schema; `fields` are the fields that may be suggested for unknown ones. */
export function checkFields<Value>(
  schema: z.ZodType<Value>,
  document: unknown,
  kind: string,
  fields?: KnownFields,
): Checked<Value> {
  const result = schema.safeParse(document, { error: describeIssue, reportInput: true });
  if (result.success) return { value: result.data };
  const { issues } = result.error;
  return {
    problems: issues.filter(issue => !isFollowUp(issue, issues)).flatMap(issue => problemsOf(issue, kind, fields)),
  };
}

/** The length of a string says nothing where a list was expected; zod measures it all the same. */
function isFollowUp({ code, path }: z.core.$ZodIssue, issues: readonly z.core.$ZodIssue[]): boolean {
  if (code !== 'too_big' && code !== 'too_small') return false;
  return issues.some(other => other.code === 'invalid_type' && isDeepStrictEqual(other.path, path));
}

function problemsOf(issue: z.core.$ZodIssue, kind: string, fields: KnownFields | undefined): FieldProblem[] {
  const path = issue.path.filter(part => typeof part !== 'symbol');
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map(key => ({ path: [...path, key], at: 'key', message: unknownField(kind, path, key, fields) }));
  }
  const message = issue.code === 'invalid_value' ? wrongValue(kind, path, issue) : issue.message;
  return [{ path, at: 'value', message }];
}

function unknownField(kind: string, path: FieldPath, key: string, fields: KnownFields | undefined): string {
  const known = fields?.in(path) ?? [];
  const coming = fieldsNotServed(kind, path);
  if (coming.includes(key)) return `\`${key}\` is not served by this version of Fairlead`;
  const other = known.find(name => name === `${key}s` || `${name}s` === key);
  if (other !== undefined) return `unknown field \`${key}\`${didYouMean(other)}`;
  const home = known.length === 0 ? undefined : fields?.mappingWith(key);
  if (home) return `unknown field \`${key}\`; it belongs in \`${home}\``;
  return `unknown field \`${key}\`${didYouMean(nearestName(key, known))}`;
}

function wrongValue(kind: string, path: FieldPath, issue: z.core.$ZodIssueInvalidValue): string {
  const { input } = issue;
  const values = usualSpellings(issue.values.map(String));
  const coming = valuesNotServed(kind, path);
  if (typeof input === 'string' && coming.includes(input)) {
    return `\`${input}\` is not served by this version of Fairlead; it serves ${quotedList(values, 'and')}`;
  }
  if (typeof input === 'number' && values.some(value => Number(value) === input)) {
    return `expected ${oneOf(values)} as a string, got the number ${show(input)}: put it in quotes`;
  }
  const nearest = typeof input === 'string' ? nearestName(input, values) : undefined;
  return `expected ${oneOf(values)}, got ${show(input)}${didYouMean(nearest)}`;
}

/** Without the spellings by underscore that are accepted beside the same with dashes. */
function usualSpellings(values: readonly string[]): string[] {
  return values.filter(value => !value.includes('_') || !values.includes(value.replaceAll('_', '-')));
}
