import { create } from '@bufbuild/protobuf';
import type { ConsumerSpec } from '../../crds/consumer.ts';
import { nanoOf } from '../../crds/money.ts';
import { BudgetPeriod, type Consumer, ConsumerSchema } from '../../proto/gen/fairlead/v1/table_pb.js';
import type { KeyDigest } from './api-keys.ts';
import { limitMessages } from './limit-message.ts';

const PERIOD = { day: BudgetPeriod.DAY, month: BudgetPeriod.MONTH } as const;

/** A Consumer, and what of the names that it asked for was given to it. */
interface NamedConsumer {
  readonly spec: ConsumerSpec;
  readonly names: readonly string[];
  readonly users: readonly string[];
}

/** The consumer as the table carries it. */
export function consumerMessage({ spec, names, users }: NamedConsumer, keys: readonly KeyDigest[]): Consumer {
  const { budget, models } = spec;
  return create(ConsumerSchema, {
    names: [...names],
    apiKeys: keys.map(({ sha256, expiresAtMs, name }) => ({
      sha256: new Uint8Array(Buffer.from(sha256, 'hex')),
      expiresAtMs: BigInt(expiresAtMs),
      name,
    })),
    jwt: spec.jwt.map(({ issuer, claims }) => ({ issuer, claims: { ...claims } })),
    users: [...users],
    ...(models && { models: { patterns: [...models] } }),
    limits: limitMessages(spec.limits),
    ...(budget && {
      budget: {
        amount: nanoOf(budget.amount),
        currency: budget.currency,
        period: PERIOD[budget.period],
        timeZone: budget.timeZone,
        warnPercent: budget.warnAt,
      },
    }),
    explainAllowed: spec.explain.allow,
  });
}
