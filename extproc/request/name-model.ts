import type { BodyFacts } from './body-facts.ts';

/**
 * The body with `name` as its model: the value that is there is replaced, or the field is inserted where there is
 * none. Every other byte stays as it is. A body that names this model already is returned itself, not copied.
 *
 * @param facts what reading this same body gave
 */
export function nameModel(body: Uint8Array, facts: BodyFacts, name: string): Uint8Array {
  const { model, insertion } = facts;
  if (model === undefined) return splice(body, insertion.at, insertion.at, newField(insertion, name));
  if (model.value === name) return body;
  return splice(body, model.start, model.end, insertion.kind === 'json' ? JSON.stringify(name) : name);
}

function newField(insertion: BodyFacts['insertion'], name: string): string {
  if (insertion.kind === 'json') return `"model":${JSON.stringify(name)}${insertion.comma ? ',' : ''}`;
  return `--${insertion.boundary}\r\nContent-Disposition: form-data; name="model"\r\n\r\n${name}\r\n`;
}

function splice(body: Uint8Array, start: number, end: number, text: string): Uint8Array {
  const written = Buffer.from(text);
  const result = Buffer.allocUnsafe(body.length - (end - start) + written.length);
  result.set(body.subarray(0, start));
  result.set(written, start);
  result.set(body.subarray(end), start + written.length);
  return result;
}
