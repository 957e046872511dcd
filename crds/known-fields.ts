import { z } from 'zod';
import type { FieldPath } from './field-problem.ts';

/** The part of a JSON schema that tells which fields exist. */
interface Node {
  readonly properties?: Readonly<Record<string, Node>>;
  readonly items?: Node;
}

/** Which fields a resource has, for suggesting the right one; made from its schema. */
export class KnownFields {
  readonly #root: Node;

  constructor(schema: z.ZodType) {
    this.#root = z.toJSONSchema(schema, { io: 'input' }) as Node;
  }

  /** The fields of the mapping at `path`; empty where any are allowed. */
  in(path: FieldPath): readonly string[] {
    let node: Node | undefined = this.#root;
    for (const part of path) node = typeof part === 'number' ? node?.items : node?.properties?.[part];
    return Object.keys(node?.properties ?? {});
  }

  /** The only mapping that has a field of this name, `[]` for any element of a list: `spec.backends[].pods`. */
  mappingWith(name: string): string | undefined {
    const found: string[] = [];
    const visit = (node: Node, path: string) => {
      for (const [key, child] of Object.entries(node.properties ?? {})) {
        if (key === name) found.push(path);
        visit(child, path === '' ? key : `${path}.${key}`);
      }
      if (node.items !== undefined) visit(node.items, `${path}[]`);
    };
    visit(this.#root, '');
    return found.length === 1 ? found[0] : undefined;
  }
}
