import type { Gateway, Model } from '../../proto/gen/fairlead/v1/table_pb.js';
import type { Caller } from '../identity/caller.ts';
import type { ConsumerEntry } from '../identity/consumer-entry.ts';
import type { ModelEntry } from '../models/model-index.ts';
import { type BudgetRule, compileBudget } from './budget-rule.ts';
import { compileRules, type Rule } from './limit-rules.ts';

/** What a consumer's own limits are. */
interface ConsumerRules {
  readonly rules: readonly Rule[];
  readonly budget: BudgetRule | undefined;
}

interface GatewayRules {
  readonly everyone: readonly Rule[];
  readonly anonymous: ConsumerRules;
}

/** The limits of the route table as rules: those of each resource are made once, and go when it goes. */
export class RuleBook {
  readonly #byConsumer = new WeakMap<ConsumerEntry, ConsumerRules>();
  readonly #byModel = new WeakMap<Model, readonly Rule[]>();
  readonly #byGateway = new WeakMap<Gateway, GatewayRules>();

  /** Those of the caller; of the anonymous, what the gateway allows them. */
  ofCaller({ consumer }: Caller, gateway: Gateway): ConsumerRules {
    return consumer === undefined ? this.#gatewayRules(gateway).anonymous : this.#consumerRules(consumer);
  }

  ofModel({ key, model }: ModelEntry): readonly Rule[] {
    const known = this.#byModel.get(model);
    if (known !== undefined) return known;
    const rules = compileRules('model', key, model.id, model.limits);
    this.#byModel.set(model, rules);
    return rules;
  }

  ofGateway(gateway: Gateway): readonly Rule[] {
    return this.#gatewayRules(gateway).everyone;
  }

  /** Whether there is any, of the caller, the model or the gateway. */
  hasRules({ caller, entry, gateway }: { caller: Caller; entry: ModelEntry; gateway: Gateway }): boolean {
    const { rules, budget } = this.ofCaller(caller, gateway);
    if (rules.length > 0 || budget !== undefined) return true;
    return this.ofModel(entry).length + this.ofGateway(gateway).length > 0;
  }

  #consumerRules(entry: ConsumerEntry): ConsumerRules {
    const known = this.#byConsumer.get(entry);
    if (known !== undefined) return known;
    const { key, name, consumer } = entry;
    const budget = consumer.budget && compileBudget(key, name, consumer.budget);
    const rules = { rules: compileRules('consumer', key, name, consumer.limits), budget };
    this.#byConsumer.set(entry, rules);
    return rules;
  }

  #gatewayRules(gateway: Gateway): GatewayRules {
    const known = this.#byGateway.get(gateway);
    if (known !== undefined) return known;
    const rules = {
      everyone: compileRules('gateway', '', '', gateway.limits),
      anonymous: { rules: compileRules('anonymous', '', '', gateway.anonymousLimits), budget: undefined },
    };
    this.#byGateway.set(gateway, rules);
    return rules;
  }
}
