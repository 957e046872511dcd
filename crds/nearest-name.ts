import { distance } from 'fastest-levenshtein';

/**
 * The candidate that `given` was most likely meant to be, or undefined when none is near.
 * Case, dashes and underscores do not count: `leastRequest` is `least-request`.
 */
export function nearestName(given: string, candidates: readonly string[]): string | undefined {
  const wanted = bare(given);
  if (wanted === '') return undefined;
  let nearest: string | undefined;
  // A third of the letters may be wrong, and two may have changed places: beyond that a suggestion misleads.
  const tolerance = wanted.length < 4 ? 1 : Math.max(2, Math.floor(wanted.length / 3));
  let nearestDistance = tolerance + 1;
  for (const candidate of candidates) {
    const name = bare(candidate);
    const off = wanted.length >= 4 && name.startsWith(wanted) ? 1 : distance(wanted, name);
    if (off < nearestDistance) {
      nearest = candidate;
      nearestDistance = off;
    }
  }
  return nearest;
}

function bare(name: string): string {
  return name.toLowerCase().replaceAll(/[-_]/g, '');
}
