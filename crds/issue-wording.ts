import type { z } from 'zod';
import { show } from './wording.ts';

/** What zod found, in our words; fields with a form of their own bring a message along (`expecting`). */
export function describeIssue(issue: z.core.$ZodRawIssue): string {
  switch (issue.code) {
    case 'invalid_type':
      return wrongType(issue.expected, issue.input);
    case 'too_small':
      return `expected ${least(issue)}, got ${amount(issue.input)}`;
    case 'too_big':
      return `expected ${most(issue)}, got ${amount(issue.input)}`;
    default:
      return `not a value that fits, got ${show(issue.input)}`;
  }
}

const TYPES: Readonly<Record<string, string>> = {
  array: 'a list',
  object: 'a mapping',
  record: 'a mapping',
  string: 'a string',
  int: 'a whole number',
  number: 'a number',
  boolean: '`true` or `false`',
};

function wrongType(expected: string, input: unknown): string {
  const type = TYPES[expected] ?? expected;
  if (input === undefined) return `is missing: expected ${type}`;
  if (expected === 'string' && (typeof input === 'number' || typeof input === 'boolean')) {
    return `expected a string, got ${show(input)}: put it in quotes`;
  }
  const unquoted = typeof input === 'string' && input !== '' && meant(expected, input);
  return `expected ${type}, got ${show(input)}${unquoted ? ' in quotes' : ''}`;
}

/** Whether a string is what was expected, but for its quotes. */
function meant(expected: string, input: string): boolean {
  if (expected === 'boolean') return input === 'true' || input === 'false';
  return (expected === 'number' || expected === 'int') && Number.isFinite(Number(input));
}

function least(issue: z.core.$ZodRawIssue<z.core.$ZodIssueTooSmall>): string {
  const bound = issue.inclusive === false ? `more than ${issue.minimum}` : `at least ${issue.minimum}`;
  return `${bound}${unit(issue.origin)}`;
}

function most(issue: z.core.$ZodRawIssue<z.core.$ZodIssueTooBig>): string {
  return `at most ${issue.maximum}${unit(issue.origin)}`;
}

function unit(origin: string | undefined): string {
  return origin === 'array' ? ' of them' : origin === 'string' ? ' characters' : '';
}

function amount(input: unknown): string {
  if (Array.isArray(input)) return String(input.length);
  return typeof input === 'string' ? String(input.length) : show(input);
}

/** The values that something may have, for a message: one of `a`, `b` or `c`. */
export function oneOf(values: readonly string[]): string {
  return values.length === 1 ? `\`${values[0]}\`` : `one of ${quotedList(values, 'or')}`;
}

/** Values in quotes, the last two joined by `word`. */
export function quotedList(values: readonly string[], word: string): string {
  const quoted = values.map(value => `\`${value}\``);
  return quoted.length < 2 ? quoted.join('') : `${quoted.slice(0, -1).join(', ')} ${word} ${quoted.at(-1)}`;
}
