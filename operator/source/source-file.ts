import type { ConsumerSpec } from '../../crds/consumer.ts';
import type { FieldPath, FieldProblem } from '../../crds/field-problem.ts';
import type { InferenceGatewaySpec } from '../../crds/inference-gateway.ts';
import type { ModelDeploymentSpec } from '../../crds/model-deployment.ts';
import { isOurs, type Resource, readResource } from '../../crds/read-resource.ts';
import type { RefusedGateway } from './closed-gateway.ts';
import { type FileOrigin, objectKey, type Pod } from './cluster-state.ts';
import { readPod } from './pod-document.ts';
import { byPlace, type Place, type Problem, problemAt } from './problem.ts';
import { readSecret, type SecretDocument } from './secret-document.ts';
import { parseYamlText, type TextDocument } from './yaml-text.ts';

interface Item<Kind extends string> {
  readonly kind: Kind;
  readonly origin: FileOrigin;
  readonly namespace: string;
  readonly name: string;
}

/** A resource of ours as one document declares it. */
export interface ResourceItem<Kind extends string, Spec> extends Item<Kind> {
  readonly spec: Spec;
  /** As the document says, which only one read back from a cluster does. */
  readonly createdAtMs: number | undefined;
  readonly generation: number | undefined;
}

export type ModelItem = ResourceItem<'ModelDeployment', ModelDeploymentSpec>;
export type GatewayItem = ResourceItem<'InferenceGateway', InferenceGatewaySpec>;
export type ConsumerItem = ResourceItem<'Consumer', ConsumerSpec>;

/** A pod as one document shows it. */
export interface PodItem extends Item<'Pod'> {
  readonly pod: Pod;
}

/** A Secret as one document shows it. */
export interface SecretItem extends Item<'Secret'> {
  readonly secret: SecretDocument;
}

/** What one document declares. */
export type FileItem = ModelItem | GatewayItem | ConsumerItem | PodItem | SecretItem;

/** A file as it was read once. */
export interface SourceFile {
  readonly file: string;
  readonly items: readonly FileItem[];
  /** What declares an InferenceGateway, or may, and cannot be read. */
  readonly refusedGateways: readonly RefusedGateway[];
  readonly problems: readonly Problem[];
  /** Where a field of the document at `origin` stands. */
  locate(origin: FileOrigin, path: FieldPath): Place;
}

/** Whether a file has nothing in it that cannot be served. */
export function isWhole({ problems }: SourceFile): boolean {
  return problems.every(({ severity }) => severity !== 'error');
}

/** Reads the text of a file. Never throws: what is wrong is among the problems. */
export function readSourceFile(file: string, text: string): SourceFile {
  const { documents, problems: syntax } = parseYamlText(text);
  const reader = new DocumentReader(file);
  for (const { message, ...place } of syntax)
    reader.problems.push(problemAt(file, place, { severity: 'error', message }));
  for (const document of documents) reader.read(document, document.value, []);
  // Which documents there are is not known, but what the text is about.
  if (syntax.length > 0 && text.includes('InferenceGateway')) reader.refusedGateways.push(refusedGatewayIn(file));
  return {
    file,
    items: reader.items,
    refusedGateways: reader.refusedGateways,
    problems: reader.problems.sort(byPlace),
    locate: (origin, path) => reader.locate(origin, path),
  };
}

class DocumentReader {
  readonly items: FileItem[] = [];
  readonly refusedGateways: RefusedGateway[] = [];
  readonly problems: Problem[] = [];
  readonly #file: string;
  readonly #placeByKey = new Map<string, Place>();
  readonly #sources: { readonly origin: Place; readonly document: TextDocument; readonly base: FieldPath }[] = [];

  constructor(file: string) {
    this.#file = file;
  }

  /** Reads the value at `base` of a document: the whole of it, or an item of a `kind: List`. */
  read(document: TextDocument, value: unknown, base: FieldPath): void {
    const origin = document.locate(base, 'value');
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      const message = 'expected a resource: a mapping with apiVersion, kind, metadata and spec';
      this.problems.push(problemAt(this.#file, origin, { severity: 'error', message }));
      return;
    }
    this.#sources.push({ origin, document, base });
    const fields = value as Readonly<Record<string, unknown>>;
    const { apiVersion, kind } = fields;
    if (isOurs(apiVersion, kind)) this.#readOurs(fields, origin);
    else if (apiVersion === 'v1' && kind === 'Pod') this.#readPod(fields, origin);
    else if (apiVersion === 'v1' && kind === 'Secret') this.#readSecret(fields, origin);
    else if (apiVersion === 'v1' && kind === 'List' && Array.isArray(fields.items)) {
      for (const [index, item] of fields.items.entries()) this.read(document, item, [...base, 'items', index]);
    } else this.#ignore(fields, origin);
  }

  locate(origin: Place, path: FieldPath, at: 'key' | 'value' = 'value'): Place {
    const source = this.#sources.find(
      ({ origin: { line, column } }) => line === origin.line && column === origin.column,
    );
    return source?.document.locate([...source.base, ...path], at) ?? origin;
  }

  #readOurs(fields: Readonly<Record<string, unknown>>, origin: Place): void {
    const { resource, problems } = readResource(fields);
    if (problems === undefined) this.#add({ ...declaration(resource), origin: this.#origin(origin) });
    else this.#refuse(fields, origin, problems);
  }

  #readPod(fields: Readonly<Record<string, unknown>>, origin: Place): void {
    const { value: pod, problems } = readPod(fields);
    if (problems !== undefined) this.#refuse(fields, origin, problems);
    else if (pod !== null) {
      this.#add({ kind: 'Pod', namespace: pod.namespace, name: pod.name, pod, origin: this.#origin(origin) });
    }
  }

  #readSecret(fields: Readonly<Record<string, unknown>>, origin: Place): void {
    const { value: secret, problems } = readSecret(fields);
    if (problems !== undefined) this.#refuse(fields, origin, problems);
    else {
      const { namespace, name } = secret;
      this.#add({ kind: 'Secret', namespace, name, secret, origin: this.#origin(origin) });
    }
  }

  #add(item: FileItem): void {
    const key = `${item.kind} ${objectKey(item)}`;
    const first = this.#placeByKey.get(key);
    if (first === undefined) {
      this.#placeByKey.set(key, item.origin);
      this.items.push(item);
      return;
    }
    const message = `${key} is declared twice: here and in line ${first.line}`;
    this.problems.push(problemAt(this.#file, item.origin, { severity: 'error', resource: key, message }));
  }

  #refuse(fields: Readonly<Record<string, unknown>>, origin: Place, problems: readonly FieldProblem[]): void {
    const resource = nameOf(fields);
    if (mayBeGateway(fields)) {
      const [, key = ''] = resource.split(' ');
      this.refusedGateways.push({ ...refusedGatewayIn(this.#file), key, origin: this.#origin(origin) });
    }
    for (const { path, at, message } of problems) {
      const place = this.locate(origin, path, at);
      this.problems.push(problemAt(this.#file, place, { severity: 'error', resource, path, message }));
    }
  }

  #ignore(fields: Readonly<Record<string, unknown>>, origin: Place): void {
    const { apiVersion, kind } = fields;
    const named = typeof apiVersion === 'string' && typeof kind === 'string';
    if (!named && (Object.hasOwn(fields, 'spec') || typeof apiVersion === 'string' || typeof kind === 'string')) {
      const missing = typeof apiVersion === 'string' ? 'kind' : 'apiVersion';
      const message = `${missing} is missing: expected a resource with apiVersion, kind, metadata and spec`;
      this.problems.push(problemAt(this.#file, origin, { severity: 'error', message }));
      return;
    }
    const message = named
      ? `${apiVersion} ${kind} is not read by Fairlead`
      : 'not a resource: it has no apiVersion and kind';
    this.problems.push(problemAt(this.#file, origin, { severity: 'ignored', message }));
  }

  #origin({ line, column }: Place): FileOrigin {
    return { kind: 'file', file: this.#file, line, column };
  }
}

/** A resource of ours whose kind is mistyped or missing is as likely the gateway as any. */
function mayBeGateway({ apiVersion, kind }: Readonly<Record<string, unknown>>): boolean {
  return isOurs(apiVersion, kind) && kind !== 'ModelDeployment' && kind !== 'Consumer';
}

/** A gateway that may be anywhere in a file that cannot be read. */
export function refusedGatewayIn(file: string): RefusedGateway {
  return { key: '', createdAtMs: Number.POSITIVE_INFINITY, origin: { kind: 'file', file, line: 0, column: 0 } };
}

function declaration(resource: Resource) {
  const { name, namespace, creationTimestamp, generation } = resource.metadata;
  const createdAtMs = typeof creationTimestamp === 'string' ? Date.parse(creationTimestamp) : undefined;
  const common = { name, namespace, createdAtMs, generation };
  switch (resource.kind) {
    case 'ModelDeployment':
      return { ...common, kind: resource.kind, spec: resource.spec };
    case 'InferenceGateway':
      return { ...common, kind: resource.kind, spec: resource.spec };
    case 'Consumer':
      return { ...common, kind: resource.kind, spec: resource.spec };
  }
}

/** What a document that was refused calls itself, as far as it does. */
function nameOf({ kind, metadata }: Readonly<Record<string, unknown>>): string {
  const named = typeof metadata === 'object' && metadata !== null ? metadata : {};
  const name = 'name' in named && typeof named.name === 'string' ? named.name : '';
  const namespace = 'namespace' in named && typeof named.namespace === 'string' ? named.namespace : 'default';
  return typeof kind === 'string' && name !== '' ? `${kind} ${namespace}/${name}` : '';
}
