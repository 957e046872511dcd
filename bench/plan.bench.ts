import { readResource } from '../crds/read-resource.ts';
import { type Plan, plan } from '../operator/plan/plan.ts';
import type { ClusterState, Pod } from '../operator/source/cluster-state.ts';

/**
 * Milliseconds for a plan of many models, each with pods of its own in one namespace: cold, and after one change.
 * Goals at 10,000 models: cold under 1,000, one changed pod under 5. Run: node bench/plan.bench.ts
 */
const MODELS = 10_000;
const PODS_PER_MODEL = 2;
const ROUNDS = 50;
const options = { standalone: false };

type Declared = ClusterState['modelDeployments'] extends ReadonlyMap<string, infer Value> ? Value : never;

function modelDeployment(index: number, strategy: string): Declared {
  const { resource } = readResource({
    apiVersion: 'fairlead.dev/v1alpha1',
    kind: 'ModelDeployment',
    metadata: { name: `model-${index}`, namespace: 'ml' },
    spec: {
      model: `acme/model-${index}`,
      aliases: [`alias-${index}`],
      backends: [
        { name: 'gpu', runtime: 'vllm', pods: { selector: { matchLabels: { app: `model-${index}` } }, port: 8000 } },
      ],
      routing: { strategy },
    },
  });
  if (resource?.kind !== 'ModelDeployment') throw new Error('the resource is wrong');
  const { name, namespace } = resource.metadata;
  return {
    name,
    namespace,
    generation: 1,
    createdAtMs: index,
    origin: { kind: 'object', uid: name },
    spec: resource.spec,
  };
}

function pod(index: number, ip: string): Pod {
  const name = `pod-${index}`;
  const labels = { app: `model-${Math.floor(index / PODS_PER_MODEL)}`, 'pod-template-hash': `h${index}`, tier: 'gpu' };
  return { namespace: 'ml', name, uid: name, labels, ip, ready: true, terminating: false, ports: [8000] };
}

function bigState(): ClusterState {
  const models = Array.from({ length: MODELS }, (_, index) => modelDeployment(index, 'random'));
  const pods = Array.from({ length: MODELS * PODS_PER_MODEL }, (_, index) =>
    pod(index, `10.${index >> 16}.${(index >> 8) & 255}.${index & 255}`),
  );
  return {
    modelDeployments: new Map(models.map(model => [`ml/${model.name}`, model])),
    pods: new Map(pods.map(pod => [`ml/${pod.name}`, pod])),
    gateways: [],
    closed: undefined,
    consumers: new Map(),
    hosts: new Map(),
    secrets: new Map(),
  };
}

/** The median milliseconds of a plan after a change, each upon the one before. */
function afterEach(
  first: Plan,
  state: ClusterState,
  change: (state: ClusterState, round: number) => ClusterState,
): number {
  let previous = first;
  let changed = state;
  const times: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    changed = change(changed, round);
    const start = performance.now();
    previous = plan(changed, options, previous);
    times.push(performance.now() - start);
  }
  if (previous.models.size !== state.modelDeployments.size) throw new Error('a model was lost');
  return times.sort((one, other) => one - other)[ROUNDS / 2] ?? Number.NaN;
}

const state = bigState();
const coldMs = Array.from({ length: 3 }, () => {
  const start = performance.now();
  plan(state, options);
  return performance.now() - start;
});
const first = plan(state, options);
const podMs = afterEach(first, state, (before, round) => {
  const changed = pod(round * 7, `10.200.0.${round}`);
  return { ...before, pods: new Map(before.pods).set(`ml/${changed.name}`, changed) };
});
const modelMs = afterEach(first, state, (before, round) => {
  const changed = { ...modelDeployment(round * 7, 'shuffle'), generation: round + 2 };
  return { ...before, modelDeployments: new Map(before.modelDeployments).set(`ml/${changed.name}`, changed) };
});

console.log(`plan: ${MODELS} models, ${MODELS * PODS_PER_MODEL} pods`);
console.log(`  cold               ${Math.min(...coldMs).toFixed(0)} ms (first ${coldMs[0]?.toFixed(0)} ms), goal 1000`);
console.log(`  one changed pod    ${podMs.toFixed(2)} ms, goal 5`);
console.log(`  one changed model  ${modelMs.toFixed(2)} ms`);
