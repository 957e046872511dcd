import { z } from 'zod';
import { nearestName } from './nearest-name.ts';
import { expecting } from './wording.ts';

/** A time zone by its IANA name: https://www.iana.org/time-zones */
export function timeZone() {
  const form = expecting('the name of a time zone, such as `Europe/Paris` or `UTC`', given =>
    typeof given === 'string' ? nearestName(given, Intl.supportedValuesOf('timeZone')) : undefined,
  );
  return z.string(form).max(64, form).refine(isTimeZone, form);
}

function isTimeZone(name: string): boolean {
  // What Intl takes beside names: offsets, which know no summer time.
  if (!/^[A-Za-z]/.test(name)) return false;
  try {
    return new Intl.DateTimeFormat('en', { timeZone: name }).resolvedOptions().timeZone !== '';
  } catch {
    return false;
  }
}
