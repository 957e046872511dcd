import type { DataPlaneSnapshot } from '../telemetry/snapshot.ts';
import type { TableDelta } from './table/route-table.ts';

/** What the agent's thread says to the data thread; each is answered, or `failed`, under its number. */
export type ToDataThread =
  | { readonly kind: 'table'; readonly request: number; readonly delta: TableDelta }
  | { readonly kind: 'alive?'; readonly request: number }
  | { readonly kind: 'snapshot?'; readonly request: number }
  | { readonly kind: 'explain?'; readonly request: number; readonly model: string };

/** What the data thread says to the agent's. */
export type ToAgent =
  | LimitsMessage
  | { readonly kind: 'stop' }
  | { readonly kind: 'failed'; readonly request: number; readonly message: string }
  | { readonly kind: 'applied'; readonly request: number; readonly answer: undefined }
  | { readonly kind: 'alive'; readonly request: number; readonly answer: undefined }
  | { readonly kind: 'snapshot'; readonly request: number; readonly answer: DataPlaneSnapshot }
  | { readonly kind: 'explain'; readonly request: number; readonly answer: ModelExplanation | undefined };

/** Said unasked, whenever it is otherwise than before; nothing of it has been said: no budget, no failure. */
export interface LimitsMessage {
  readonly kind: 'limits';
  /** Of those whose spending is at their warning threshold or above. */
  readonly budgets: readonly BudgetStateData[];
  /** What is wrong with the store of limits; empty while all is well. */
  readonly storeFailure: string;
}

/** What a consumer has spent. */
export interface BudgetStateData {
  /** "<namespace>/<name>" */
  readonly consumer: string;
  /** Milliseconds since the epoch. */
  readonly periodStartMs: number;
  readonly periodEndMs: number;
  /** Both in 10^-9 of the currency, whole; what is reserved is in `spent`. */
  readonly spent: number;
  readonly amount: number;
  readonly currency: string;
}

/** Why a model's requests go where they go, as the picker sees it now. */
export interface ModelExplanation {
  /** "<namespace>/<name>" of its ModelDeployment. */
  readonly key: string;
  readonly id: string;
  readonly strategy: string;
  readonly endpoints: readonly EndpointExplanation[];
}

export interface EndpointExplanation {
  readonly endpoint: string;
  readonly address: string;
  readonly backend: string;
  readonly priority: number;
  readonly inFlight: number;
  /** What the model's strategy ranks by, lower first; absent where it does not rank. */
  readonly score: number | undefined;
  readonly usable: boolean;
  /** Why it is not usable: "draining", "ejected for 3.2 s more", … */
  readonly reason: string | undefined;
  /** The last few attempts that failed here, newest first. */
  readonly failures: readonly string[];
}
