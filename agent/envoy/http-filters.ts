import {
  ADMITTED,
  EXCHANGE_NAMESPACE,
  type ExchangeFact,
  JWT_NAMESPACE,
  OWN_HEADER_PREFIX,
  PICK_NAMESPACE,
} from '../../proto/exchange-names.ts';
import {
  type ExternalProcessorJson,
  ExternalProcessorSchema,
} from '../../proto/gen/envoy/extensions/filters/http/ext_proc/v3/ext_proc_pb.js';
import { RBACSchema } from '../../proto/gen/envoy/extensions/filters/http/rbac/v3/rbac_pb.js';
import { RouterSchema } from '../../proto/gen/envoy/extensions/filters/http/router/v3/router_pb.js';
import type { HttpFilterJson } from '../../proto/gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js';
import { AuthenticationMode, type Gateway } from '../../proto/gen/fairlead/v1/table_pb.js';
import { attemptLog } from './access-logs.ts';
import { cors } from './cors.ts';
import { stripFromClient, stripSteering } from './header-hygiene.ts';
import { jwtFilter, tokenIssuers } from './jwt-filter.ts';
import { ADMITTED_FILTER, EXT_PROC_CLUSTER, EXT_PROC_FILTER } from './names.ts';
import { unreadyWhenDraining } from './readiness.ts';
import { duration, typedConfig } from './typed-config.ts';

/** How long extproc may think about one message; its answers take well under a millisecond. */
const MESSAGE_TIMEOUT_MS = 5_000;

/** What extproc reads of a request, beside the headers that may name the model (contract with extproc/request). */
const HEADERS_READ = [
  ':method',
  ':path',
  ':authority',
  'content-type',
  'content-encoding',
  'content-length',
  'transfer-encoding',
  'accept',
  'authorization',
  'x-api-key',
  'user',
  'routing-strategy',
  'x-session-id',
  'x-request-id',
] as const;

/**
 * The way of a request, in order: stripped, answered where it is a browser's preflight, told where it asks whether a
 * draining gateway is ready, checked for its token where it has one and tokens are asked for, shown to extproc, let
 * through only with its mark, stripped of what was meant for extproc, sent.
 */
export function httpFilters({ modelHeaders, authentication }: Gateway): HttpFilterJson[] {
  const issuers = tokenIssuers(authentication);
  return [
    stripFromClient(authentication?.mode ?? AuthenticationMode.AUTHENTICATION_MODE_UNSPECIFIED),
    cors(),
    unreadyWhenDraining(),
    ...(issuers.length > 0 ? [jwtFilter(issuers)] : []),
    extProc(modelHeaders, issuers.length > 0),
    admittedOnly(),
    stripSteering(modelHeaders),
    router(),
  ];
}

/** @param modelHeaders request headers that may name the model */
function extProc(modelHeaders: readonly string[], withClaims: boolean): HttpFilterJson {
  const exact = [...new Set([...HEADERS_READ, ...modelHeaders.map(name => name.toLowerCase())])];
  const config: ExternalProcessorJson = {
    grpcService: { envoyGrpc: { clusterName: EXT_PROC_CLUSTER } },
    // The stream lives exactly as long as the exchange: trailers are asked for so that it stays open (envoy.md B1).
    processingMode: {
      requestHeaderMode: 'SEND',
      requestBodyMode: 'BUFFERED',
      responseHeaderMode: 'SKIP',
      responseBodyMode: 'NONE',
      responseTrailerMode: 'SEND',
    },
    forwardRules: {
      allowedHeaders: { patterns: [...exact.map(name => ({ exact: name })), { prefix: OWN_HEADER_PREFIX }] },
    },
    metadataOptions: {
      receivingNamespaces: { untyped: [PICK_NAMESPACE, EXCHANGE_NAMESPACE] },
      ...(withClaims && { forwardingNamespaces: { untyped: [JWT_NAMESPACE] } }),
    },
    mutationRules: { allowEnvoy: true },
    // Otherwise losing extproc would cut every answer that is being streamed. New requests stop at the next filter.
    failureModeAllow: true,
    messageTimeout: duration(MESSAGE_TIMEOUT_MS),
  };
  return { name: EXT_PROC_FILTER, typedConfig: typedConfig(ExternalProcessorSchema, config) };
}

/** Closed failure: what extproc has not admitted does not pass, also while it is away. */
function admittedOnly(): HttpFilterJson {
  return {
    name: ADMITTED_FILTER,
    typedConfig: typedConfig(RBACSchema, {
      rules: {
        action: 'ALLOW',
        policies: {
          admitted: {
            permissions: [{ any: true }],
            principals: [
              {
                sourcedMetadata: {
                  metadataMatcher: {
                    filter: EXCHANGE_NAMESPACE,
                    path: [{ key: 'admitted' satisfies ExchangeFact }],
                    value: { stringMatch: { exact: ADMITTED } },
                  },
                  metadataSource: 'DYNAMIC',
                },
              },
            ],
          },
        },
      },
    }),
  };
}

function router(): HttpFilterJson {
  return {
    name: 'envoy.filters.http.router',
    typedConfig: typedConfig(RouterSchema, { upstreamLog: [attemptLog()], suppressEnvoyHeaders: true }),
  };
}
