import type { Model } from '../../proto/gen/fairlead/v1/table_pb.js';

/**
 * Tells the models that patterns stand for: those of which the id, an alias or a versioned name ("id@2") is among the
 * patterns, or fits one with `*`, which stands for any characters, `/` and none included. An id stands for each of its
 * versions. What was found of a model is remembered for as long as that model is not replaced.
 *
 * @param patterns undefined: every model; empty: none
 */
export function modelFilter(patterns: readonly string[] | undefined): (model: Model) => boolean {
  if (patterns === undefined || patterns.includes('*')) return everyModel;
  const exact = new Set(patterns.filter(pattern => !pattern.includes('*')));
  const globs = patterns.filter(pattern => pattern.includes('*')).map(globMatcher);
  const fits = (name: string): boolean => exact.has(name) || globs.some(glob => glob(name));
  const known = new WeakMap<Model, boolean>();
  return model => {
    const before = known.get(model);
    if (before !== undefined) return before;
    const found = fits(model.id) || model.names.some(fits) || model.aliases.some(fits);
    known.set(model, found);
    return found;
  };
}

const everyModel = (): boolean => true;

/** Each part is looked for once, leftmost: no pattern can make this slow. */
function globMatcher(pattern: string): (text: string) => boolean {
  const parts = pattern.split('*');
  const [first = '', last = ''] = [parts[0], parts.at(-1)];
  const middle = parts.slice(1, -1);
  return text => {
    if (!text.startsWith(first) || !text.endsWith(last)) return false;
    let at = first.length;
    for (const part of middle) {
      const found = text.indexOf(part, at);
      if (found < 0) return false;
      at = found + part.length;
    }
    return at <= text.length - last.length;
  };
}
