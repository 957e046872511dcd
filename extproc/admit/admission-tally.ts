import type { LimitDescription } from './limit-rules.ts';
import type { LimitScope } from './limit-text.ts';

/** What a limit did to a request: let it pass, refused it, or would have, were it no shadow. */
export type CheckOutcome = 'admitted' | 'refused' | 'shadowed';

/** What one consumer used, settled. */
interface ConsumerCount {
  readonly consumer: string;
  readonly requests: number;
  readonly inputTokens: number;
  readonly outputTokens: number;
  /** In 10^-9, by currency. */
  readonly spent: readonly { readonly currency: string; readonly nano: number }[];
}

/** What admission has counted since it began, in plain data. */
export interface AdmissionCounts {
  readonly checks: readonly {
    readonly scope: LimitScope;
    readonly limit: string;
    readonly outcome: CheckOutcome;
    readonly count: number;
  }[];
  readonly consumers: readonly ConsumerCount[];
}

interface Use {
  requests: number;
  inputTokens: number;
  outputTokens: number;
  readonly spent: Map<string, number>;
}

interface Checks {
  readonly scope: LimitScope;
  /** "<namespace>/<name>"; empty where it is nobody's. */
  readonly owner: string;
  readonly limit: string;
  readonly counts: Record<CheckOutcome, number>;
}

/** Consumers, and limits, that are counted by name; all further ones are counted together. */
const MAX_NAMED = 1_000;
const OTHER = 'other';

/** Counts what limits did and what consumers used, for metrics: bounded, however many there are. */
export class AdmissionTally {
  readonly #checks = new Map<string, Checks>();
  readonly #consumers = new Map<string, Use>();

  checked({ scope, owner, text }: LimitDescription, outcome: CheckOutcome): void {
    // The text names its owner: no two scopes have one in common.
    const isNamed = this.#checks.has(text) || this.#checks.size < MAX_NAMED;
    const limit = isNamed ? text : OTHER;
    const checks = entryOf(this.#checks, isNamed ? text : `${OTHER} ${scope}`, () => ({
      scope,
      owner: isNamed ? owner : '',
      limit,
      counts: { admitted: 0, refused: 0, shadowed: 0 },
    }));
    checks.counts[outcome]++;
  }

  /**
   * @param consumer its key, or what the anonymous are called
   * @param nano cost in 10^-9 of the currency, which is not read where it is 0
   */
  used(consumer: string, inputTokens: number, outputTokens: number, nano: number, currency: string): void {
    const isNamed = this.#consumers.has(consumer) || this.#consumers.size < MAX_NAMED;
    const use = entryOf(this.#consumers, isNamed ? consumer : OTHER, () => ({
      requests: 0,
      inputTokens: 0,
      outputTokens: 0,
      spent: new Map(),
    }));
    use.requests++;
    use.inputTokens += inputTokens;
    use.outputTokens += outputTokens;
    if (nano > 0) use.spent.set(currency, (use.spent.get(currency) ?? 0) + nano);
  }

  snapshot(): AdmissionCounts {
    return {
      checks: [...this.#checks.values()].flatMap(({ scope, limit, counts }) =>
        OUTCOMES.filter(outcome => counts[outcome] > 0).map(outcome => ({
          scope,
          limit,
          outcome,
          count: counts[outcome],
        })),
      ),
      consumers: [...this.#consumers].map(([consumer, { spent, ...use }]) => ({
        consumer,
        ...use,
        spent: [...spent].map(([currency, nano]) => ({ currency, nano })),
      })),
    };
  }

  /** Drops the consumers that are gone, and the limits of consumers and models that are. Told by their keys. */
  keepOnly(isConsumer: (key: string) => boolean, isModel: (key: string) => boolean): void {
    for (const consumer of this.#consumers.keys()) {
      // The anonymous have no key, and do not go; nor do those who are counted together.
      if (consumer.includes('/') && !isConsumer(consumer)) this.#consumers.delete(consumer);
    }
    for (const [text, { scope, owner }] of this.#checks) {
      const isOwner = scope === 'model' ? isModel : isConsumer;
      if (owner !== '' && !isOwner(owner)) this.#checks.delete(text);
    }
  }
}

const OUTCOMES: readonly CheckOutcome[] = ['admitted', 'refused', 'shadowed'];

function entryOf<Value>(map: Map<string, Value>, key: string, create: () => Value): Value {
  const known = map.get(key);
  if (known !== undefined) return known;
  const created = create();
  map.set(key, created);
  return created;
}
