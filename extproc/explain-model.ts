import type { EndpointExplanation, ModelExplanation } from '../agent/messages.ts';
import type { DataPlane } from './exchange.ts';
import type { FailedAttempt } from './outcome/recent-failures.ts';
import type { CandidateView } from './pick/candidate-view.ts';
import { modelStrategy } from './pick/choose-strategy.ts';

/** Why a model's requests go where they go; undefined where no model has that name. */
export function explainModel(plane: DataPlane, name: string): ModelExplanation | undefined {
  const entry = plane.models.resolve(name);
  if (entry === undefined) return undefined;
  const nowMs = plane.nowMs();
  const strategy = modelStrategy(entry.model);
  return {
    key: entry.key,
    id: entry.model.id,
    strategy,
    endpoints: plane.picker.explain(entry, strategy, nowMs).map(view => explainEndpoint(view, plane, nowMs)),
  };
}

function explainEndpoint(view: CandidateView, { ledger }: DataPlane, nowMs: number): EndpointExplanation {
  const { endpoint, address, backend, priority, inFlight, score, unusable } = view;
  return {
    endpoint,
    address,
    backend,
    priority,
    inFlight,
    score,
    usable: unusable === undefined,
    reason: unusable,
    failures: ledger.failures(address).map(failure => describeFailure(failure, nowMs)),
  };
}

function describeFailure({ atMs, failure, status, flags }: FailedAttempt, nowMs: number): string {
  const what = [status === 0 ? 'no answer' : String(status), failure ?? 'not held against it', ...flags].join(' ');
  return `${what}, ${((nowMs - atMs) / 1000).toFixed(1)} s ago`;
}
