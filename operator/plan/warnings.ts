import type { BackendSpec } from '../../crds/backend.ts';
import type { BackendEndpoints, Remark } from './backend-endpoints.ts';

/** Something suspicious about a resource that is served all the same. */
export interface PlanWarning {
  readonly kind: 'ModelDeployment' | 'InferenceGateway' | 'Consumer';
  /** "<namespace>/<name>" */
  readonly resource: string;
  readonly reason:
    | OfModel
    | 'NobodyMayCall'
    | 'NameTaken'
    | 'CredentialsIgnored'
    | 'UnknownIssuer'
    | 'CurrencyMismatch';
  /** The field in question. */
  readonly path: readonly (string | number)[];
  readonly message: string;
}

type OfModel = 'MixedRuntimes' | 'ForeignDialect' | 'NoEndpoints' | 'SharedAddress' | Remark['reason'];

/** Runtimes that answer in a form of their own, which this version does not translate. */
const FOREIGN_DIALECTS: readonly string[] = ['kserve-v2', 'anthropic'] satisfies BackendSpec['runtime'][];

interface Backend {
  readonly spec: BackendSpec;
  readonly found: BackendEndpoints;
}

/** What is suspicious about a model. */
export function modelWarnings(resource: string, backends: readonly Backend[]): PlanWarning[] {
  const warnings: PlanWarning[] = [];
  const warn = (reason: PlanWarning['reason'], path: PlanWarning['path'], message: string) =>
    warnings.push({ kind: 'ModelDeployment', resource, reason, path: ['spec', 'backends', ...path], message });

  const [first] = backends;
  const owners = new Map<string, string>();
  for (const [index, { spec, found }] of backends.entries()) {
    if (first !== undefined && spec.runtime !== first.spec.runtime) {
      const message = `runtime ${spec.runtime}, while backend ${first.spec.name} runs ${first.spec.runtime}: answers may differ in form`;
      warn('MixedRuntimes', [index, 'runtime'], message);
    }
    if (FOREIGN_DIALECTS.includes(spec.runtime)) {
      const message = `this version passes requests to ${spec.runtime} unchanged, in OpenAI's form`;
      warn('ForeignDialect', [index, 'runtime'], message);
    }
    for (const { reason, path, message } of found.remarks) warn(reason, [index, ...path], message);
    if (found.lacking !== undefined) {
      const field = spec.pods === undefined ? ['endpoints'] : ['pods', 'selector'];
      warn('NoEndpoints', [index, ...field], `backend ${spec.name} has no endpoint: ${found.lacking}`);
    }
    for (const address of new Set(found.group.endpoints.map(endpoint => endpoint.address))) {
      const owner = owners.get(address);
      if (owner === undefined) owners.set(address, spec.name);
      else warn('SharedAddress', [index], `\`${address}\` is an endpoint of backend ${owner} as well`);
    }
  }
  return warnings;
}
