import { API_VERSION } from '../../crds/metadata.ts';
import type { StatusDocument } from '../../crds/status.ts';
import { APPLY_PATCH, type ApiConnection, type Reply } from '../api/api-connection.ts';
import { collectionPath } from '../source/kubernetes/api-object.ts';
import { CONSUMER_COLLECTION, GATEWAY_COLLECTION, MODEL_COLLECTION } from '../source/kubernetes/declared-object.ts';
import type { Regarding } from './event-recorder.ts';

/** An API server that takes longer is away, milliseconds. */
const TIMEOUT_MS = 10_000;

const COLLECTIONS = {
  ModelDeployment: MODEL_COLLECTION,
  InferenceGateway: GATEWAY_COLLECTION,
  Consumer: CONSUMER_COLLECTION,
} as const satisfies Record<Regarding['kind'], unknown>;

/** Writes the whole of a status by server-side apply. Never rejects: a connection that failed is a failure with code 0. */
export async function applyStatus(
  api: ApiConnection,
  { kind, namespace, name }: Regarding,
  status: StatusDocument,
  signal: AbortSignal,
): Promise<Reply> {
  const request = {
    method: 'PATCH',
    path: `${collectionPath({ ...COLLECTIONS[kind], namespace })}/${name}/status`,
    query: { fieldManager: 'fairlead-operator', force: 'true' },
    contentType: APPLY_PATCH,
    body: { apiVersion: API_VERSION, kind, metadata: { namespace, name }, status },
  } as const;
  try {
    return await api.send(request, AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)]));
  } catch (error) {
    return { failure: { code: 0, message: error instanceof Error ? error.message : String(error) } };
  }
}
