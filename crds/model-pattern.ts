import { upstreamName } from './model-name.ts';
import { expecting } from './wording.ts';

/** Wildcards that other globs have; brackets and the like alone may be part of a name. */
export const OTHER_WILDCARD_PATTERN = '[*][*]|[?]|\\[.*\\]|\\{.*\\}';

const OTHER_WILDCARD = new RegExp(OTHER_WILDCARD_PATTERN);

/**
 * Names of models: an id, of all its versions or with `@` of one, an alias, or a pattern in which `*` is any run of
 * characters.
 */
export function modelPattern() {
  return upstreamName().refine(
    pattern => !OTHER_WILDCARD.test(pattern),
    expecting('an id, an alias or a pattern whose only wildcard is `*`, which is any characters, `/` too', simpler),
  );
}

function simpler(given: unknown): string | undefined {
  const near = typeof given === 'string' ? given.replaceAll(/[*]{2,}/g, '*') : '';
  return near === given || OTHER_WILDCARD.test(near) ? undefined : near;
}
