import { type Refusal, refuse } from '../../errors/refusal.ts';
import type { Model } from '../../proto/gen/fairlead/v1/table_pb.js';
import type { Caller } from './caller.ts';

/** Whether the caller may use the model. */
export function mayUse({ consumer }: Caller, model: Model): boolean {
  return consumer === undefined || consumer.allows(model);
}

/** Of these models, in their order, those that the caller may use. */
export function allowedModels<Entry extends { readonly model: Model }>(
  caller: Caller,
  entries: readonly Entry[],
): readonly Entry[] {
  return caller.consumer === undefined ? entries : entries.filter(({ model }) => mayUse(caller, model));
}

/** `model_not_found`: no model has this name, which was found fit for being shown. */
export function refuseUnknownModel(name: string): Refusal {
  return refuse('model_not_found', { message: `Model not found: ${name}`, param: 'model' });
}

/**
 * The refusal of a model that the caller may not use: `model_not_allowed`, or that of an unknown one.
 *
 * @param name as the caller wrote it
 * @param hidden the gateway's `hide_forbidden_models`
 */
export function refuseForbiddenModel(name: string, hidden: boolean): Refusal {
  if (hidden) return refuseUnknownModel(name);
  return refuse('model_not_allowed', {
    message: `You may not use the model ${name}. GET /v1/models lists those that you may.`,
    param: 'model',
  });
}
