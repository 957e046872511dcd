import { type Refusal, refuse } from '../errors/refusal.ts';
import { consultedLimits, type Grant } from './admit/grant.ts';
import type { DataPlane } from './exchange.ts';
import type { ModelEntry } from './models/model-index.ts';
import type { CandidateView } from './pick/candidate-view.ts';
import { chosenNames, explanation } from './pick/explanation.ts';
import { type EstimatedTokens, estimateTokens } from './request/request-facts.ts';
import type { InferenceRequest, PickedRequest } from './routing.ts';

type Plane = Pick<DataPlane, 'load' | 'ledger' | 'log' | 'models' | 'nextId' | 'picker'>;

/**
 * Picks, and reserves in the same turn, so that the next pick sees this one. What is reserved is the ledger's from then
 * on, by the id of the picked request.
 */
export function pickEndpoint(
  plane: Plane,
  request: InferenceRequest,
  grant: Grant,
  nowMs: number,
): PickedRequest | Refusal {
  const { picker, models, log, nextId } = plane;
  const { caller, head, entry, strategy } = request;
  const tokens = estimateTokens(head.endpoint, request.body.length, request.facts);
  const mayExplain = caller.consumer?.consumer.explainAllowed || models.gateway?.explainAllowed;
  const explained = head.explain && mayExplain === true;
  const seen = explained || log.isLevelEnabled('debug') ? picker.explain(entry, strategy, nowMs) : undefined;
  const pick = picker.pick(entry, strategy, tokens, nowMs);
  if (pick === undefined) return refuseUnready(entry);
  const told = explained && seen ? explanation(strategy, seen, pick, consultedLimits(grant)) : undefined;
  const picked = { ...request, id: nextId(), pick, grant, explanation: told };
  if (seen !== undefined) logPick(plane, picked, seen);
  reserve(plane, picked, tokens, nowMs);
  return picked;
}

function reserve(
  { load, ledger }: Plane,
  { id, caller, head, entry, pick, facts, grant }: PickedRequest,
  tokens: EstimatedTokens,
  startedMs: number,
): void {
  const { backend, slots: candidates } = pick;
  const [first = 0] = candidates;
  const reservation = load.reserve(first, tokens.promptTokens + tokens.outputTokens, startedMs);
  const { endpoint } = head;
  const { stream } = facts;
  const reserved = { grant, candidates, reservation, ...tokens };
  ledger.open({ id, caller, endpoint, entry, backend, ...reserved, stream, startedMs });
}

/** The decision log: what was known and what was chosen. */
function logPick(
  { load, log }: Plane,
  { id, entry, strategy, pick }: PickedRequest,
  candidates: readonly CandidateView[],
): void {
  log.debug({
    event: 'pick.decided',
    id,
    model: entry.model.id,
    key: entry.key,
    strategy,
    backend: pick.backend.config.name,
    chosen: chosenNames(pick),
    // Names of endpoints listed by address are their places in a list: another model may call them otherwise.
    addresses: pick.slots.map(slot => load.address(slot)),
    candidates,
  });
}

function refuseUnready({ model }: ModelEntry): Refusal {
  return refuse('no_ready_endpoints', { message: `No endpoint of ${model.id} is ready now. Try again shortly.` });
}
