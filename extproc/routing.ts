import {
  ADMITTED,
  CLUSTER_HEADER,
  EXCHANGE_NAMESPACE,
  type ExchangeFact,
  ID_HEADER,
  MAX_RETRIES_HEADER,
  PICK_KEY,
  PICK_NAMESPACE,
  ROUTE_HEADER,
} from '../proto/exchange-names.ts';
import type { Gateway } from '../proto/gen/fairlead/v1/table_pb.js';
import { type Grant, toldOf } from './admit/grant.ts';
import type { EndpointLoad } from './endpoint-load/endpoint-load.ts';
import type { Caller } from './identity/caller.ts';
import type { ModelEntry } from './models/model-index.ts';
import type { Pick } from './pick/picker.ts';
import type { StrategyName } from './pick/strategy-name.ts';
import type { BodyFacts } from './request/body-facts.ts';
import { usageEdits } from './request/force-usage.ts';
import type { InferenceHead } from './request/head.ts';
import { nameModel } from './request/name-model.ts';
import type { Routing } from './server/encode.ts';

/** A request that was read whole, with all that its pick depends on. */
export interface InferenceRequest {
  readonly gateway: Gateway;
  readonly caller: Caller;
  readonly head: InferenceHead;
  readonly body: Uint8Array;
  readonly facts: BodyFacts;
  readonly entry: ModelEntry;
  readonly strategy: StrategyName;
}

/** A request for which an endpoint is reserved. */
export interface PickedRequest extends InferenceRequest {
  readonly id: string;
  readonly pick: Pick;
  /** What its limits reserved. */
  readonly grant: Grant;
  /** For the client that asked for it, and may. */
  readonly explanation: string | undefined;
}

/** What Envoy is told of a picked request: where it goes, with what changed, and what the logs and the client learn. */
export function routingOf(request: PickedRequest, load: EndpointLoad): Routing {
  return {
    setHeaders: headers(request),
    ...editedBody(request),
    metadata: {
      [PICK_NAMESPACE]: { [PICK_KEY]: request.pick.slots.map(slot => load.address(slot)).join(',') },
      [EXCHANGE_NAMESPACE]: exchangeFacts(request),
    },
  };
}

function headers({ id, entry, pick, head }: PickedRequest): Record<string, string> {
  return {
    ':path': head.path,
    [ID_HEADER]: id,
    [CLUSTER_HEADER]: entry.key,
    [ROUTE_HEADER]: entry.routeProfile,
    [MAX_RETRIES_HEADER]: String(pick.slots.length - 1),
    ...(head.upstreamType !== undefined && { 'content-type': head.upstreamType }),
  };
}

/**
 * The body with the name that the backend knows the model by, and asking for usage where that is forced; nothing where
 * it is so already.
 */
function editedBody({ entry, head, pick, facts, body }: PickedRequest): { body?: Uint8Array } {
  const further = entry.model.forceUsage ? usageEdits(head.endpoint, body, facts) : [];
  const edited = nameModel(body, facts, pick.backend.config.upstreamModel || entry.model.id, further);
  return edited === body ? {} : { body: edited };
}

function exchangeFacts({ id, caller, entry, pick, grant, strategy, explanation }: PickedRequest) {
  const { name: backend, runtime } = pick.backend.config;
  const facts = { id, admitted: ADMITTED, consumer: caller.name, model: entry.model.id, backend, runtime, strategy };
  return {
    ...facts,
    ...toldOf(grant).metadata,
    ...(explanation !== undefined && { explain: explanation }),
  } satisfies Partial<Record<ExchangeFact, string>>;
}
