/** What the data thread counted since it started, and what is going on now: plain data, cloned to another thread. */
export interface DataPlaneSnapshot extends TallySnapshot {
  /** Empty until the first table came. */
  readonly tableVersion: string;
  /** When the agent received that version, milliseconds since the epoch; 0 until the first. */
  readonly tableReceivedAtMs: number;
  /** Undefined unless the gateway asks for endpoint metrics: a label each costs memory wherever they are stored. */
  readonly endpoints: readonly EndpointSnapshot[] | undefined;
  readonly limits: LimitsSnapshot;
}

/** What limits did, and what consumers used. */
interface LimitsSnapshot {
  readonly checks: readonly LimitChecks[];
  readonly consumers: readonly ConsumerUse[];
  /** Of the consumers whose spending is at their warning threshold or above. */
  readonly budgets: readonly BudgetUse[];
  /** Undefined where each agent counts in its own memory. */
  readonly store: StoreSnapshot | undefined;
}

interface LimitChecks {
  /** Whose limit it is: "consumer", "anonymous", "model" or "gateway". */
  readonly scope: string;
  /** In words. */
  readonly limit: string;
  readonly outcome: string;
  readonly count: number;
}

interface ConsumerUse {
  readonly consumer: string;
  readonly requests: number;
  readonly inputTokens: number;
  readonly outputTokens: number;
  /** In 10^-9 of the currency. */
  readonly spent: readonly { readonly currency: string; readonly nano: number }[];
}

interface BudgetUse {
  readonly consumer: string;
  /** In 10^-9 of a currency, both. */
  readonly spent: number;
  readonly amount: number;
}

interface StoreSnapshot {
  readonly up: boolean;
  readonly failures: number;
  /** Requests that were decided on without it. */
  readonly withoutStore: number;
  /** Settlements that never reached it. */
  readonly dropped: number;
}

export interface TallySnapshot {
  readonly requests: readonly RequestCount[];
  readonly tokens: readonly TokenCount[];
  /** Requests that are on their way, by the model's public id. */
  readonly inFlight: readonly { readonly model: string; readonly count: number }[];
  /** Seconds from a complete request to its pick. */
  readonly pickSeconds: HistogramSnapshot;
  readonly settlements: readonly { readonly kind: SettlementKind; readonly count: number }[];
}

interface RequestCount {
  /** Public id of the model, empty where none was found. */
  readonly model: string;
  readonly backend: string;
  /** HTTP status of an answer as it was made, else the error's code. */
  readonly code: string;
  readonly count: number;
}

interface TokenCount {
  readonly model: string;
  readonly kind: 'prompt' | 'completion';
  readonly count: number;
}

export interface HistogramSnapshot {
  /** Upper bounds, ascending; one more bucket than bounds, for what is above the last. */
  readonly bounds: readonly number[];
  /** Observations of each bucket alone. */
  readonly counts: readonly number[];
  readonly sum: number;
}

/** Where the tokens of an exchange came from. */
export type SettlementKind =
  /** The answer told them. */
  | 'usage'
  /** It did not, or not completely: estimated by its size. */
  | 'estimate'
  /** Nothing was generated: an error, or nobody there to answer. */
  | 'nothing'
  /** Envoy's record did not come in time: what was forecast when it was picked. */
  | 'no_record'
  /** A record that came after that. */
  | 'late'
  /** A record of an exchange that this process does not know: of the process before it. */
  | 'unknown';

export interface EndpointSnapshot {
  /** The pod's name; empty for one that no model lists any more. */
  readonly endpoint: string;
  readonly address: string;
  readonly inFlight: number;
  /** Tokens processed within the window of the throughput strategy, and those reserved. */
  readonly tokens: number;
  /** Whether it is picked. */
  readonly usable: boolean;
}
