import type { MessageInitShape } from '@bufbuild/protobuf';
import type { LimitSpec } from '../../crds/limit.ts';
import { LimitEach, type LimitSchema, LimitUnit } from '../../proto/gen/fairlead/v1/table_pb.js';

const UNITS: Readonly<Record<LimitSpec['unit'], LimitUnit>> = {
  requests: LimitUnit.LIMIT_REQUESTS,
  tokens: LimitUnit.LIMIT_TOKENS,
  inputTokens: LimitUnit.LIMIT_INPUT_TOKENS,
  outputTokens: LimitUnit.LIMIT_OUTPUT_TOKENS,
  concurrency: LimitUnit.LIMIT_CONCURRENCY,
};

const EACH: Readonly<Record<LimitSpec['each'][number], LimitEach>> = {
  consumer: LimitEach.CONSUMER,
  user: LimitEach.USER,
  model: LimitEach.MODEL,
  endpoint: LimitEach.ENDPOINT,
};

/** Limits as the table carries them. */
export function limitMessages(limits: readonly LimitSpec[]): MessageInitShape<typeof LimitSchema>[] {
  return limits.map(({ unit, amount, periodSeconds, models, endpoints, each, shadow }) => ({
    unit: UNITS[unit],
    amount: BigInt(amount),
    periodSeconds,
    models: [...models],
    endpoints: [...endpoints],
    each: each.map(one => EACH[one]),
    shadow,
  }));
}
