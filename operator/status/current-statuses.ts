import {
  consumerStatusSchema,
  gatewayStatusSchema,
  modelStatusSchema,
  type StatusDocument,
} from '../../crds/status.ts';
import type { ApiConnection } from '../api/api-connection.ts';
import type { ApiFailure } from '../api/api-failure.ts';
import { CONSUMER_COLLECTION, GATEWAY_COLLECTION, MODEL_COLLECTION } from '../source/kubernetes/declared-object.ts';
import { listPages } from '../source/kubernetes/paged-list.ts';

/** Statuses by the uid of their object, or why they cannot be read. */
export type CurrentStatuses =
  | { readonly statuses: ReadonlyMap<string, StatusDocument>; readonly failure?: never }
  | { readonly statuses?: never; readonly failure: ApiFailure };

const NOT_FOUND = 404;

const KINDS = [
  { kind: MODEL_COLLECTION, schema: modelStatusSchema },
  { kind: GATEWAY_COLLECTION, schema: gatewayStatusSchema },
  { kind: CONSUMER_COLLECTION, schema: consumerStatusSchema },
];

/**
 * What the API says of all our resources now. A status that is not as we write it is left out. Rejects when the
 * connection fails.
 *
 * @param namespaces those that count; all of them when undefined
 */
export async function currentStatuses(
  api: ApiConnection,
  namespaces: readonly string[] | undefined,
  signal: AbortSignal,
): Promise<CurrentStatuses> {
  const statuses = new Map<string, StatusDocument>();
  for (const { kind, schema } of KINDS) {
    for (const namespace of namespaces ?? [undefined]) {
      const { failure } = await listPages(
        api,
        { ...kind, namespace },
        {
          whole: false,
          signal,
          onObject: ({ metadata, status }) => {
            const { data } = schema.safeParse(status);
            if (data !== undefined) statuses.set(metadata.uid, data);
          },
        },
      );
      // A kind that the cluster does not know yet has no statuses.
      if (failure !== undefined && failure.code !== NOT_FOUND) return { failure };
    }
  }
  return { statuses };
}
