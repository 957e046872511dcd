import { CONSUMER_TYPE, ENDPOINT_GROUP_TYPE, MODEL_TYPE } from '../../proto/table-types.ts';
import type { ConnectedAgent } from '../publish/publisher.ts';

/** What a node cannot use, in the words of whoever refused it. */
export interface Refusal {
  readonly nodeId: string;
  readonly message: string;
}

/** What is refused now, by whom. */
export interface Refusals {
  /** By model, "<namespace>/<name>". */
  readonly ofModels: ReadonlyMap<string, readonly Refusal[]>;
  /** By consumer, "<namespace>/<name>". */
  readonly ofConsumers: ReadonlyMap<string, readonly Refusal[]>;
  /** Listeners, routes: what all models share. */
  readonly ofGateway: readonly Refusal[];
  /** Whole tables: they concern what the node does not follow yet. */
  readonly ofTable: readonly Refusal[];
}

/** Kinds of Envoy's resources that are made for one model each and have its name. */
const KINDS_OF_MODEL = ['cluster', 'clusterloadassignment'];

/** Parts of the table whose names begin with that of a model. */
const TYPES_OF_MODEL = [MODEL_TYPE, ENDPOINT_GROUP_TYPE];

/** Sorts what agents refused, and what their Envoys did, by what it is about. */
export function refusalsOf(agents: readonly ConnectedAgent[]): Refusals {
  const ofModels = new Map<string, Refusal[]>();
  const ofConsumers = new Map<string, Refusal[]>();
  const ofGateway: Refusal[] = [];
  const ofTable: Refusal[] = [];
  const add = (refusals: Map<string, Refusal[]>, key: string, refusal: Refusal) => {
    const others = refusals.get(key);
    if (others === undefined) refusals.set(key, [refusal]);
    else others.push(refusal);
  };
  const ofModel = (name: string, refusal: Refusal) => add(ofModels, name.split('/', 2).join('/'), refusal);
  for (const { nodeId, report, refused } of agents) {
    for (const { typeUrl, name, message } of refused) {
      if (TYPES_OF_MODEL.includes(typeUrl)) ofModel(name, { nodeId, message });
      else if (typeUrl === CONSUMER_TYPE) add(ofConsumers, name, { nodeId, message });
      else ofGateway.push({ nodeId, message });
    }
    for (const { resource, message } of report?.rejections ?? []) {
      const [kind = '', name = ''] = split(resource);
      if (kind === 'table') ofTable.push({ nodeId, message: `${resource}: ${message}` });
      else if (KINDS_OF_MODEL.includes(kind)) ofModel(name, { nodeId, message });
      else ofGateway.push({ nodeId, message: `${resource}: ${message}` });
    }
  }
  return { ofModels, ofConsumers, ofGateway, ofTable };
}

function split(resource: string): [string, string] {
  const at = resource.indexOf(' ');
  return at < 0 ? [resource, ''] : [resource.slice(0, at), resource.slice(at + 1)];
}
