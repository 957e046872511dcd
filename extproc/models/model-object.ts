import type { Model } from '../../proto/gen/fairlead/v1/table_pb.js';
import type { ModelEntry } from './model-index.ts';

/** A model as GET /v1/models/{id} shows it: OpenAI's object (https://platform.openai.com/docs/api-reference/models/object) and more. */
export interface ModelObject {
  readonly id: string;
  readonly object: 'model';
  /** Unix seconds. */
  readonly created: number;
  readonly owned_by: string;
  readonly type: string;
  readonly aliases: readonly string[];
  /** Tokens; absent when unknown. */
  readonly max_context_length?: number;
  readonly version?: string;
}

/** GET /v1/models. */
export interface ModelList {
  readonly object: 'list';
  readonly data: readonly ModelObject[];
}

export function modelObject(model: Model): ModelObject {
  return {
    id: model.id,
    object: 'model',
    created: model.created,
    owned_by: model.ownedBy,
    type: model.type,
    aliases: model.aliases,
    ...(model.maxContextLength > 0 && { max_context_length: model.maxContextLength }),
    ...(model.version !== '' && { version: model.version }),
  };
}

/** In the order given; `ModelIndex.list()` is sorted. */
export function modelList(entries: readonly ModelEntry[]): ModelList {
  return { object: 'list', data: entries.map(entry => modelObject(entry.model)) };
}
