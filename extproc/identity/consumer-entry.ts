import type { Consumer, Model } from '../../proto/gen/fairlead/v1/table_pb.js';
import { modelFilter } from './model-pattern.ts';

/** One consumer as requests see it: an immutable value, replaced whole when the Consumer changes. */
export interface ConsumerEntry {
  /** "<namespace>/<name>": what its limits and its spend are kept by. */
  readonly key: string;
  /** For people: the name alone where no older Consumer has it, else the key. */
  readonly name: string;
  readonly consumer: Consumer;
  /** Whether it may use the model. */
  readonly allows: (model: Model) => boolean;
}

export function consumerEntry(key: string, consumer: Consumer): ConsumerEntry {
  return {
    key,
    name: consumer.names.find(name => !name.includes('/')) ?? key,
    consumer,
    allows: modelFilter(consumer.models?.patterns),
  };
}
