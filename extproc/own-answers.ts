import { isRefusal, type Refusal } from '../errors/refusal.ts';
import type { Gateway } from '../proto/gen/fairlead/v1/table_pb.js';
import { accessibleModel } from './accessible-model.ts';
import type { DataPlane } from './exchange.ts';
import type { Caller } from './identity/caller.ts';
import { allowedModels } from './identity/model-access.ts';
import { modelList, modelObject } from './models/model-object.ts';
import type { Target } from './request/target.ts';

/** What the gateway answers by itself to a known caller, as JSON; a promise only where the store of limits is asked. */
export function ownAnswer(
  { models, admission }: Pick<DataPlane, 'models' | 'admission'>,
  target: Exclude<Target, { kind: 'inference' | 'ready' }>,
  caller: Caller,
  gateway: Gateway,
): object | Refusal | Promise<object | Refusal> {
  switch (target.kind) {
    case 'models':
      return modelList(allowedModels(caller, models.list()));
    case 'usage':
      return admission.usage({ caller, models: allowedModels(caller, models.list()), gateway });
    case 'model': {
      const entry = accessibleModel(models, target.name, caller);
      return isRefusal(entry) ? entry : modelObject(entry.model);
    }
  }
}
