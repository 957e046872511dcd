import assert from 'node:assert/strict';
import type { CandidateView } from '../../../extproc/pick/candidate-view.ts';
import type { SimPod } from '../../../sim/pod.ts';

/** An event of the decision log. */
export interface Decision {
  readonly event: 'pick.decided';
  readonly id: string;
  /** Public id. */
  readonly model: string;
  readonly strategy: string;
  readonly backend: string;
  /** Names of endpoints, in order of preference. */
  readonly chosen: readonly string[];
  /** The same as "ip:port". */
  readonly addresses: readonly string[];
  readonly candidates: readonly CandidateView[];
}

/** Which attempts reached which pod: for each exchange, the pods that recorded it, in no order. */
function podsById(pods: readonly SimPod[]): Map<string, SimPod[]> {
  const found = new Map<string, SimPod[]>();
  for (const pod of pods) {
    for (const { headers } of pod.requests) {
      const [id = ''] = headers['x-fairlead-id'] ?? [];
      found.set(id, [...(found.get(id) ?? []), pod]);
    }
  }
  return found;
}

/** Every request that reached a pod was for a model that it serves, was picked for it, and came once. */
export function assertOnlyPicked(pods: readonly SimPod[], decisions: readonly Decision[]): void {
  const byId = new Map(decisions.map(decision => [decision.id, decision]));
  for (const [id, reached] of podsById(pods)) {
    const decision = byId.get(id);
    assert.ok(decision, `a request without a pick reached ${reached.map(({ name }) => name)}`);
    const { addresses } = decision;
    for (const pod of reached) {
      assert.ok(addresses.includes(pod.endpoint), `${id} for ${addresses} reached ${pod.name} at ${pod.endpoint}`);
    }
    assert.equal(new Set(reached).size, reached.length, `${id} came to the same pod twice`);
  }
  for (const pod of pods) {
    for (const { body, number } of pod.requests) {
      const { model } = JSON.parse(body?.toString() ?? '{}') as { model?: string };
      assert.ok(model && pod.models.includes(model), `request ${number} of ${pod.name} is for ${model}`);
    }
  }
}
