import { applyEdits, type BodyEdit } from './body-edit.ts';
import type { BodyFacts } from './body-facts.ts';

/**
 * The body with `name` as its model: the value that is there is replaced, or the field is inserted where there is
 * none. Every other byte stays as it is. A body that names this model already is returned itself, not copied.
 *
 * @param facts what reading this same body gave
 * @param further edits of the same body that are made along with it
 */
export function nameModel(
  body: Uint8Array,
  facts: BodyFacts,
  name: string,
  further: readonly BodyEdit[] = [],
): Uint8Array {
  return applyEdits(body, [...modelEdit(facts, name), ...further]);
}

function modelEdit({ model, insertion }: BodyFacts, name: string): readonly BodyEdit[] {
  if (model === undefined) return [{ start: insertion.at, end: insertion.at, text: newField(insertion, name) }];
  if (model.value === name) return [];
  const { start, end } = model;
  return [{ start, end, text: insertion.kind === 'json' ? JSON.stringify(name) : name }];
}

function newField(insertion: BodyFacts['insertion'], name: string): string {
  if (insertion.kind === 'json') return `"model":${JSON.stringify(name)}${insertion.comma ? ',' : ''}`;
  return `--${insertion.boundary}\r\nContent-Disposition: form-data; name="model"\r\n\r\n${name}\r\n`;
}
