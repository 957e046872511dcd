import type { ConsultedLimit } from '../admit/grant.ts';
import { endpointName } from '../models/model-index.ts';
import type { CandidateView } from './candidate-view.ts';
import type { Pick } from './picker.ts';
import type { StrategyName } from './strategy-name.ts';

/** A header has room for so many candidates; what was chosen is always there. */
const MAX_EXPLAINED_CANDIDATES = 16;
/** And for so many limits. */
const MAX_EXPLAINED_LIMITS = 16;

/** The value of `x-fairlead-explain`, without addresses. Header values are ASCII, so other characters are escaped. */
export function explanation(
  strategy: StrategyName,
  seen: readonly CandidateView[],
  pick: Pick,
  consulted: readonly ConsultedLimit[],
): string {
  const candidates = seen.slice(0, MAX_EXPLAINED_CANDIDATES).map(({ address: _, ...view }) => view);
  const limits = consulted.slice(0, MAX_EXPLAINED_LIMITS);
  return JSON.stringify({ strategy, chosen: chosenNames(pick), candidates, limits }).replace(
    /[\u007f-\uffff]/g,
    character => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

/** What the backend calls the candidates, in order of preference. */
export function chosenNames({ backend, slots }: Pick): string[] {
  return slots.map(slot => endpointName(backend, slot));
}
