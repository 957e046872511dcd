import type { Refusal } from '../errors/refusal.ts';
import type { Caller } from './identity/caller.ts';
import { mayUse, refuseForbiddenModel, refuseUnknownModel } from './identity/model-access.ts';
import type { ModelEntry, ModelIndex } from './models/model-index.ts';

/** The model of that name, if there is one that the caller may use: else `model_not_found`, `model_not_allowed`. */
export function accessibleModel(models: ModelIndex, name: string, caller: Caller): ModelEntry | Refusal {
  const entry = models.resolve(name);
  if (entry === undefined) return refuseUnknownModel(name);
  return mayUse(caller, entry.model) ? entry : refuseForbiddenModel(name, models.gateway?.hideForbiddenModels ?? false);
}

/**
 * Key of the model of that name. Of a model that is hidden from the caller none is told: that two names are one model's
 * would tell that it exists.
 */
export function visibleKey(models: ModelIndex, name: string, caller: Caller): string | undefined {
  const entry = models.resolve(name);
  if (entry === undefined) return undefined;
  return models.gateway?.hideForbiddenModels === true && !mayUse(caller, entry.model) ? undefined : entry.key;
}
