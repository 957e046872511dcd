import { spellPath } from './field-problem.ts';
import { type Resource, readResource } from './read-resource.ts';

const apiVersion = 'fairlead.dev/v1alpha1';

type Document = Readonly<Record<string, unknown>>;

type SpecOf<Kind> = Extract<Resource, { readonly kind: Kind }>['spec'];

/** A Consumer as users write it. */
export function consumer(spec: unknown): Document {
  return { apiVersion, kind: 'Consumer', metadata: { name: 'alice' }, spec };
}

/** A ModelDeployment as users write it, with a backend. */
export function model(spec: object): Document {
  const backends = [{ name: 'a', endpoints: ['10.0.0.1:8000'] }];
  return { apiVersion, kind: 'ModelDeployment', metadata: { name: 'llama' }, spec: { backends, ...spec } };
}

/** An InferenceGateway as users write it. */
export function gateway(spec: object): Document {
  return { apiVersion, kind: 'InferenceGateway', metadata: { name: 'default' }, spec };
}

/** What is wrong with a document, a line each. */
export function problemLines(document: Document): string[] {
  const { problems = [] } = readResource(document);
  return problems.map(({ path, at, message }) => `${at} ${spellPath(path)}: ${message}`);
}

/** The spec of a document of this kind that is right. */
export function specOf<Kind extends Resource['kind']>(kind: Kind, document: Document): SpecOf<Kind> {
  const { resource, problems } = readResource(document);
  if (resource?.kind !== kind) throw new Error(JSON.stringify(problems));
  return resource.spec as SpecOf<Kind>;
}
