import { type FieldPath, spellPath } from '../../crds/field-problem.ts';

/**
 * How bad it is: an `error` is not served, a `warning` is served but suspicious, and what is `ignored` was never meant
 * for Fairlead.
 */
export type Severity = 'error' | 'warning' | 'ignored';

/** Something to tell about what was declared, at its place. */
export interface Problem {
  readonly severity: Severity;
  readonly file: string;
  /** From 1; 0 when it is about the file as a whole. */
  readonly line: number;
  /** From 1; 0 when it is about the file as a whole. */
  readonly column: number;
  /** "<kind> <namespace>/<name>", empty when it is about no resource. */
  readonly resource: string;
  /** The field, as in `spec.backends[0].name`; empty when it is about no field. */
  readonly path: string;
  readonly message: string;
}

/** Line and column of a text, both from 1. */
export interface Place {
  readonly line: number;
  readonly column: number;
}

/** A problem with a file as a whole. */
export function fileProblem(severity: Severity, file: string, message: string): Problem {
  return { severity, file, line: 0, column: 0, resource: '', path: '', message };
}

/** A problem at a place of a file. */
export function problemAt(
  file: string,
  place: Place,
  about: { severity: Severity; resource?: string; path?: FieldPath; message: string },
): Problem {
  const { severity, resource = '', path = [], message } = about;
  return { severity, file, line: place.line, column: place.column, resource, path: spellPath(path), message };
}

/** The order of files, and of lines within each. */
export function byPlace(one: Problem, other: Problem): number {
  if (one.file !== other.file) return one.file < other.file ? -1 : 1;
  return one.line - other.line || one.column - other.column;
}
