import type { StatusDocument } from '../../crds/status.ts';
import { type Condition, NOT_ACCEPTED } from '../plan/resource-status.ts';
import type { Fleet, FleetAgent } from './fleet.ts';
import type { Refusal } from './refusals.ts';

/** An agent that makes no progress for this long holds nothing up any more, milliseconds. */
export const SILENT_MS = 10_000;

/** An agent that makes no progress for this long is late, milliseconds: usually they take some tens. */
const LATE_MS = 1_000;

/** Names that a message has room for. */
const MAX_NAMES = 3;
/** Of the text of an agent or its Envoy, characters. */
const MAX_REFUSAL_CHARACTERS = 2_000;

/** Whether gateways follow a resource. */
export interface Programmed {
  readonly condition: Condition;
  /**
   * `final`: this is how it is. `late`: gateways take long to answer. `soon`: they were asked a moment ago. `resuming`:
   * no gateway has told anything since it connected, as after a change of leader.
   */
  readonly standing: 'final' | 'late' | 'soon' | 'resuming';
}

const FOLLOWED = final({
  type: 'Programmed',
  status: 'True',
  reason: 'Programmed',
  message: 'every connected gateway follows',
});

const NO_GATEWAYS: Condition = {
  type: 'Programmed',
  status: 'Unknown',
  reason: 'NoGateways',
  message:
    'no gateway is connected to the control plane: check that gateway pods run, and in the log of their extproc container why it cannot connect',
};

/** What nodes refused that a resource may depend on. */
interface Refused {
  readonly ofResource: readonly Refusal[];
  readonly ofTable: readonly Refusal[];
}

/**
 * The Programmed condition of a resource that changed last in version number `changedIn`.
 *
 * @param nowMs by the clock of the fleet
 */
export function programmed(changedIn: number, fleet: Fleet, refused: Refused, nowMs: number): Programmed {
  const { agents, goneSinceMs } = fleet;
  const silenceMs = ({ silentSinceMs = nowMs }: FleetAgent) => nowMs - silentSinceMs;
  if (agents.length === 0) {
    return { condition: NO_GATEWAYS, standing: nowMs - (goneSinceMs ?? nowMs) < SILENT_MS ? 'resuming' : 'final' };
  }
  const lacking = agents.filter(({ follows }) => follows < changedIn);
  const undecided = lacking.filter(agent => silenceMs(agent) < SILENT_MS);
  // What a node refused before it has the last change may be what that change mends; a table it will not get past.
  const refusals = [...refused.ofResource.filter(isNotOf(undecided)), ...refused.ofTable.filter(isOf(lacking))];
  if (refusals.length > 0) return final(refusedCondition(refusals));
  if (lacking.length === 0) return FOLLOWED;
  const following = agents.length - lacking.length;
  const expected = lacking.filter(({ joinedAt }) => joinedAt < changedIn);
  const awaited = expected.filter(agent => silenceMs(agent) < SILENT_MS);
  if (following > 0 && awaited.length === 0) return expected.length === 0 ? FOLLOWED : without(expected, following);
  const condition = pending(following, expected.length === 0 ? lacking : expected);
  if (awaited.length > 0) {
    return { condition, standing: awaited.some(agent => silenceMs(agent) >= LATE_MS) ? 'late' : 'soon' };
  }
  return { condition, standing: expected.length === 0 && undecided.length > 0 ? 'resuming' : 'final' };
}

/**
 * What to say of it, given what the API says: that stays while a new leader gets to know its gateways, and while those
 * follow one change of endpoints after the other.
 */
export function resumed(
  { condition, standing }: Programmed,
  before: NonNullable<StatusDocument['conditions']>[number] | undefined,
  generation: number,
): Condition {
  const mayStay = standing === 'soon' || standing === 'resuming';
  if (!mayStay || before?.observedGeneration !== generation) return condition;
  const { status, reason, message } = before;
  return reason === NOT_ACCEPTED ? condition : { type: 'Programmed', status, reason, message };
}

function isOf(agents: readonly FleetAgent[]): (refusal: Refusal) => boolean {
  return refusal => agents.some(({ nodeId }) => nodeId === refusal.nodeId);
}

function isNotOf(agents: readonly FleetAgent[]): (refusal: Refusal) => boolean {
  const isOne = isOf(agents);
  return refusal => !isOne(refusal);
}

function final(condition: Condition): Programmed {
  return { condition, standing: 'final' };
}

function without(silent: readonly FleetAgent[], following: number): Programmed {
  const has = silent.length === 1 ? 'has' : 'have';
  const message = `${following} of ${following + silent.length} gateways; ${namesOf(silent)} ${has} not answered`;
  return final({ type: 'Programmed', status: 'True', reason: 'Programmed', message });
}

function pending(following: number, lacking: readonly FleetAgent[]): Condition {
  const all = following + lacking.length;
  const count = `${following} of ${all} ${all === 1 ? 'gateway follows' : 'gateways follow'}`;
  const message = `${count}; waiting for ${namesOf(lacking)}`;
  return { type: 'Programmed', status: 'Unknown', reason: 'Pending', message };
}

function refusedCondition(refusals: readonly Refusal[]): Condition {
  const [first] = [...refusals].sort((one, other) => (one.nodeId < other.nodeId ? -1 : 1));
  const nodes = [...new Set(refusals.map(({ nodeId }) => nodeId))].map(nodeId => ({ nodeId }));
  const message = `refused by ${namesOf(nodes)}: ${first?.message.slice(0, MAX_REFUSAL_CHARACTERS)}`;
  return { type: 'Programmed', status: 'False', reason: 'Refused', message };
}

function namesOf(agents: readonly Pick<FleetAgent, 'nodeId'>[]): string {
  const names = agents.map(({ nodeId }) => nodeId).sort();
  if (names.length <= MAX_NAMES) return names.join(', ');
  return `${names.slice(0, MAX_NAMES).join(', ')} and ${names.length - MAX_NAMES} more`;
}
