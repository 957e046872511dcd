import { type Refusal, refuse } from '../../errors/refusal.ts';
import type { Model } from '../../proto/gen/fairlead/v1/table_pb.js';
import { parseStrategy, STRATEGY_NAMES, type StrategyName } from './strategy-name.ts';

/** Where the table names none, or one of a later version. */
const DEFAULT_STRATEGY: StrategyName = 'least-request';

/** The client's strategy where it may choose and does, else the model's. */
export function chooseStrategy(model: Model, asked: string | undefined): StrategyName | Refusal {
  if (!model.clientMayChoose || asked === undefined || asked === '') return modelStrategy(model);
  return (
    parseStrategy(asked) ??
    refuse('unknown_strategy', {
      message: `The routing-strategy header names no known strategy. There are: ${STRATEGY_NAMES.join(', ')}.`,
      param: 'routing-strategy',
    })
  );
}

/** The model's own strategy. */
export function modelStrategy(model: Model): StrategyName {
  return parseStrategy(model.strategy) ?? DEFAULT_STRATEGY;
}
