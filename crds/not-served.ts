/** Fields that later versions bring, by the path of the mapping that they stand in; `*` is any element of a list. */
const FIELDS: Readonly<Record<string, readonly string[]>> = {
  'ModelDeployment spec': ['slo', 'cache'],
  'ModelDeployment spec.backends.*': ['url', 'credentials', 'timeout', 'ca', 'headers'],
};

/** Values that later versions bring, by the path of the field. */
const VALUES: Readonly<Record<string, readonly string[]>> = {
  'ModelDeployment spec.routing.strategy': ['session-affinity', 'prefix-cache', 'expected-latency'],
};

type Path = readonly (string | number)[];

/** The fields of the mapping at `path` that this version does not serve yet. */
export function fieldsNotServed(kind: string, path: Path): readonly string[] {
  return FIELDS[key(kind, path)] ?? [];
}

/** The values of the field at `path` that this version does not serve yet. */
export function valuesNotServed(kind: string, path: Path): readonly string[] {
  return VALUES[key(kind, path)] ?? [];
}

function key(kind: string, path: Path): string {
  return `${kind} ${path.map(part => (typeof part === 'number' ? '*' : part)).join('.')}`;
}
