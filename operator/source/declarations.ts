import { isDeepStrictEqual } from 'node:util';
import { GatewayMemory } from './closed-gateway.ts';
import { type ClusterState, type Declared, objectKey, type Pod } from './cluster-state.ts';
import { type Problem, problemAt } from './problem.ts';
import type { SecretDocument } from './secret-document.ts';
import type {
  ConsumerItem,
  FileItem,
  GatewayItem,
  ModelItem,
  PodItem,
  ResourceItem,
  SecretItem,
  SourceFile,
} from './source-file.ts';

/** A file's part in what is declared. */
export interface Contribution {
  readonly source: SourceFile;
  /** About to go: what another file declares as well is taken from there, as when a file is renamed. */
  readonly leaving: boolean;
}

/** A state without the addresses of its hosts and what its Secrets hold. */
export type DeclaredState = Omit<ClusterState, 'hosts' | 'secrets'>;

/** What files declare together. */
interface Joined {
  readonly state: DeclaredState;
  /** By `objectKey`, whether something refers to them or not. */
  readonly secrets: ReadonlyMap<string, SecretDocument>;
  /** Where the files disagree. */
  readonly problems: readonly Problem[];
}

/**
 * Joins what files declare into one state, and remembers what it was: a resource that says the same stays the same
 * object, has its age from when it was first seen, and is served from the file that had it first when a second file
 * declares it too.
 */
export class Declarations {
  readonly #models = new Memory<ModelItem, ModelDeclared>(declared);
  readonly #gateways = new Memory<GatewayItem, GatewayDeclared>(declared);
  readonly #consumers = new Memory<ConsumerItem, Declared<ConsumerItem['spec']>>(declared);
  readonly #pods = new Memory<PodItem, Pod>(({ pod }, before) =>
    before !== undefined && isDeepStrictEqual(before, pod) ? before : pod,
  );
  readonly #secrets = new Memory<SecretItem, SecretDocument>(({ secret }) => secret);
  readonly #gatewayMemory = new GatewayMemory();
  #gatewayList: readonly GatewayDeclared[] = [];

  /** What was not there before is as old as `nowMs`. */
  join(contributions: readonly Contribution[], nowMs: number): Joined {
    const { chosen, problems } = this.#choose(contributions);
    const modelDeployments = this.#models.replace(chosen.filter(isModel), nowMs);
    const consumers = this.#consumers.replace(chosen.filter(isConsumer), nowMs);
    const pods = this.#pods.replace(chosen.filter(isPod), nowMs);
    const secrets = this.#secrets.replace(chosen.filter(isSecret), nowMs);
    const before = this.#gateways.values;
    const gateways = this.#gateways.replace(chosen.filter(isGateway), nowMs);
    if (gateways !== before) this.#gatewayList = [...gateways.values()];
    const refused = contributions.flatMap(({ source }) => source.refusedGateways);
    const closed = this.#gatewayMemory.read(this.#gatewayList, refused);
    return { state: { modelDeployments, gateways: this.#gatewayList, closed, consumers, pods }, secrets, problems };
  }

  /** One item for each resource, one gateway in all: what stays before what leaves, what is served before what is new. */
  #choose(contributions: readonly Contribution[]): { chosen: FileItem[]; problems: Problem[] } {
    const entries = contributions.flatMap(({ source, leaving }) =>
      source.items.map(item => ({ item, leaving, rank: (leaving ? 2 : 0) + (this.#serves(item) ? 0 : 1) })),
    );
    const problems: Problem[] = [];
    const chosen = new Map<string, FileItem>();
    for (const { item, leaving } of entries.sort((one, other) => one.rank - other.rank)) {
      const key = item.kind === 'InferenceGateway' ? item.kind : describe(item);
      const first = chosen.get(key);
      if (first === undefined) chosen.set(key, item);
      else if (!leaving) problems.push(clash(item, first));
    }
    return { chosen: [...chosen.values()], problems };
  }

  /** Whether the resource is served from this item's file so far. */
  #serves(item: FileItem): boolean {
    const memories = {
      ModelDeployment: this.#models,
      InferenceGateway: this.#gateways,
      Consumer: this.#consumers,
      Pod: this.#pods,
      Secret: this.#secrets,
    };
    const memory = memories[item.kind];
    return memory.fileOf(objectKey(item)) === item.origin.file;
  }
}

type ModelDeclared = Declared<ModelItem['spec']>;
type GatewayDeclared = Declared<GatewayItem['spec']>;

/** What the items of one kind were made into. */
class Memory<Item extends FileItem, Value> {
  #known: ReadonlyMap<string, { readonly item: Item; readonly value: Value }> = new Map();
  #values: ReadonlyMap<string, Value> = new Map();
  readonly #make: (item: Item, before: Value | undefined, nowMs: number) => Value;

  constructor(make: (item: Item, before: Value | undefined, nowMs: number) => Value) {
    this.#make = make;
  }

  /** By `objectKey`; the same map while it holds the same objects. */
  get values(): ReadonlyMap<string, Value> {
    return this.#values;
  }

  /** The file that a resource is served from. */
  fileOf(key: string): string | undefined {
    return this.#known.get(key)?.item.origin.file;
  }

  replace(items: readonly Item[], nowMs: number): ReadonlyMap<string, Value> {
    const known = new Map<string, { item: Item; value: Value }>();
    let same = items.length === this.#known.size;
    for (const item of items) {
      const key = objectKey(item);
      const before = this.#known.get(key);
      const value = before?.item === item ? before.value : this.#make(item, before?.value, nowMs);
      known.set(key, { item, value });
      same &&= before?.value === value;
    }
    this.#known = known;
    if (!same) this.#values = new Map([...known].map(([key, { value }]) => [key, value]));
    return this.#values;
  }
}

function declared<Spec>(
  item: ResourceItem<string, Spec>,
  before: Declared<Spec> | undefined,
  nowMs: number,
): Declared<Spec> {
  const same = before !== undefined && isDeepStrictEqual(before.spec, item.spec);
  const value: Declared<Spec> = {
    namespace: item.namespace,
    name: item.name,
    generation: item.generation ?? (before === undefined ? 1 : before.generation + (same ? 0 : 1)),
    createdAtMs: item.createdAtMs ?? before?.createdAtMs ?? nowMs,
    origin: item.origin,
    spec: same ? before.spec : item.spec,
  };
  return before !== undefined && isDeepStrictEqual(before, value) ? before : value;
}

function clash(item: FileItem, first: FileItem): Problem {
  const { file, line } = first.origin;
  const resource = describe(item);
  const message =
    describe(first) === resource
      ? `${resource} is already declared in ${file}:${line}, which is the one served`
      : `only one InferenceGateway is served, and that is ${objectKey(first)} in ${file}:${line}: delete one of the two`;
  return problemAt(item.origin.file, item.origin, { severity: 'error', resource, message });
}

function describe(item: FileItem): string {
  return `${item.kind} ${objectKey(item)}`;
}

function isModel(item: FileItem): item is ModelItem {
  return item.kind === 'ModelDeployment';
}

function isGateway(item: FileItem): item is GatewayItem {
  return item.kind === 'InferenceGateway';
}

function isConsumer(item: FileItem): item is ConsumerItem {
  return item.kind === 'Consumer';
}

function isPod(item: FileItem): item is PodItem {
  return item.kind === 'Pod';
}

function isSecret(item: FileItem): item is SecretItem {
  return item.kind === 'Secret';
}
