import { z } from 'zod';
import { expecting } from './wording.ts';

// The form of durations in the Gateway API: https://gateway-api.sigs.k8s.io/geps/gep-2257/
const DURATION = /^([0-9]{1,5}(h|m|s|ms)){1,4}$/;
const UNIT_MS: Readonly<Record<string, number>> = { h: 3_600_000, m: 60_000, s: 1_000, ms: 1 };

/** No exchange with a model lasts longer than a day; the bound keeps every timeout within 32 bits of milliseconds. */
const MAX_DURATION_MS = 86_400_000;

const FORM = 'a duration such as `5s`, `500ms` or `1m30s`';

/** A schema for durations more than nothing and at most a day. */
export function duration() {
  return z
    .string(expecting(FORM, seconds))
    .regex(DURATION, expecting(FORM, seconds))
    .refine(text => !DURATION.test(text) || isServed(durationMs(text)), expecting('a duration of 1ms to 24h'));
}

/** Milliseconds of a duration that the schema has accepted. */
export function durationMs(text: string): number {
  let sum = 0;
  for (const [, count, unit] of text.matchAll(/([0-9]+)(ms|h|m|s)/g)) sum += Number(count) * (UNIT_MS[unit ?? ''] ?? 0);
  return sum;
}

function isServed(milliseconds: number): boolean {
  return milliseconds > 0 && milliseconds <= MAX_DURATION_MS;
}

/** A bare number was meant as seconds, and fractions of a second can be told in milliseconds. */
function seconds(given: unknown): string | undefined {
  const count = typeof given === 'string' ? Number(given.replace(/ ?s(ec(onds?)?)?$/, '') || Number.NaN) : given;
  if (typeof count !== 'number' || !isServed(count * 1000)) return undefined;
  return Number.isInteger(count) ? `${count}s` : `${Math.round(count * 1000)}ms`;
}
