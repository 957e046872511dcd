/** Where a field stands in a document: keys of mappings and indexes of lists. */
export type FieldPath = readonly (string | number)[];

/** What is wrong with one field. */
export interface FieldProblem {
  readonly path: FieldPath;
  /** What to point at: the field's name, or what it was given. */
  readonly at: 'key' | 'value';
  /** What was expected, what was given, and what was probably meant. */
  readonly message: string;
}

/** The usual spelling of a path: `spec.backends[0].name`. */
export function spellPath(path: FieldPath): string {
  let spelled = '';
  for (const part of path) {
    if (typeof part === 'number') spelled += `[${part}]`;
    else if (/^[A-Za-z_][\w-]*$/.test(part)) spelled += spelled === '' ? part : `.${part}`;
    else spelled += `[${JSON.stringify(part)}]`;
  }
  return spelled;
}
