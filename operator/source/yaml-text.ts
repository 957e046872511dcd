import {
  type Document,
  isAlias,
  isMap,
  isNode,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  parseAllDocuments,
} from 'yaml';
import type { FieldPath } from '../../crds/field-problem.ts';
import type { Place } from './problem.ts';

/** A document of a YAML or JSON text that knows where its fields stand. */
export interface TextDocument {
  readonly value: unknown;
  /** Where a field stands, or its name; where it is missing, the nearest thing around it that is there. */
  locate(path: FieldPath, at: 'key' | 'value'): Place;
}

/** What is wrong with the text itself. */
export interface SyntaxProblem extends Place {
  readonly message: string;
}

/** A document may refer to its own parts by alias this often; more is an attempt to blow it up. */
const MAX_ALIASES = 100;

/** Takes a text apart; empty documents are left out. With syntax problems there are no documents. */
export function parseYamlText(text: string): { documents: TextDocument[]; problems: SyntaxProblem[] } {
  const lines = new LineCounter();
  const parsed = parseAllDocuments(text, {
    lineCounter: lines,
    prettyErrors: false,
    merge: true,
    // Odd keys are told as unknown fields; a warning on the process's stderr would say it twice.
    logLevel: 'error',
  });
  const place = (offset: number): Place => {
    const { line, col } = lines.linePos(offset);
    return { line: Math.max(1, line), column: Math.max(1, col) };
  };
  const documents: TextDocument[] = [];
  const problems: SyntaxProblem[] = [];
  for (const document of Array.isArray(parsed) ? parsed : []) {
    const duplicates = document.errors.filter(({ code }) => code === 'DUPLICATE_KEY');
    for (const { pos } of duplicates) problems.push({ ...place(pos[0]), message: twice(text, pos[0]) });
    // What follows the first error of another kind is mostly its consequence.
    const other = document.errors.find(({ code }) => code !== 'DUPLICATE_KEY');
    if (other !== undefined) problems.push({ ...place(other.pos[0]), message: wording(other) });
    if (document.errors.length > 0 || document.contents === null) continue;
    try {
      const value: unknown = document.toJS({ maxAliasCount: MAX_ALIASES });
      if (value === null) continue;
      documents.push({ value, locate: (path, at) => place(offsetOf(document, path, at)) });
    } catch (error) {
      problems.push({ ...place(document.contents.range[0]), message: wording(error) });
    }
  }
  return problems.length === 0 ? { documents, problems } : { documents: [], problems };
}

/** The parser's own words, but for those of the engine: recursion ends where the stack does. */
function wording(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  return message.startsWith('Maximum call stack') ? 'nested too deeply' : message;
}

function twice(text: string, offset: number): string {
  const key = /^[^\s:,}]+/.exec(text.slice(offset, offset + 100))?.[0];
  return key === undefined ? 'a field is given twice' : `\`${key}\` is given twice`;
}

function offsetOf(document: Document.Parsed, path: FieldPath, at: 'key' | 'value'): number {
  let node: Node | undefined = document.contents ?? undefined;
  let offset = start(node) ?? 0;
  for (const [depth, part] of path.entries()) {
    if (isAlias(node)) node = node.resolve(document);
    const child = typeof part === 'number' ? itemOf(node, part) : fieldOf(node, part);
    if (child === undefined) return offset;
    const named = depth === path.length - 1 && at === 'key';
    offset = (named ? child.nameOffset : child.valueOffset) ?? offset;
    node = child.node;
  }
  return offset;
}

interface Child {
  readonly node: Node | undefined;
  readonly nameOffset: number | undefined;
  readonly valueOffset: number | undefined;
}

function itemOf(list: Node | undefined, index: number): Child | undefined {
  const node: unknown = isSeq(list) ? list.items[index] : undefined;
  return isNode(node) ? { node, nameOffset: start(node), valueOffset: start(node) } : undefined;
}

/** A mapping or list is pointed at by its name, since it may begin lines below; so is a field with nothing behind it. */
function fieldOf(mapping: Node | undefined, name: string): Child | undefined {
  const pair = isMap(mapping)
    ? mapping.items.find(({ key }) => (isScalar(key) ? String(key.value) : undefined) === name)
    : undefined;
  if (pair === undefined) return undefined;
  const node = isNode(pair.value) ? pair.value : undefined;
  const nameOffset = start(pair.key);
  return { node, nameOffset, valueOffset: isScalar(node) && !isBlank(node) ? start(node) : nameOffset };
}

function isBlank(node: unknown): boolean {
  return isScalar(node) && node.value === null && (node.source ?? '') === '';
}

function start(node: unknown): number | undefined {
  return isNode(node) ? node.range?.[0] : undefined;
}
