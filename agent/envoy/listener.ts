import type { ListenerJson } from '../../proto/gen/envoy/config/listener/v3/listener_pb.js';
import {
  type HttpConnectionManagerJson,
  HttpConnectionManagerSchema,
} from '../../proto/gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js';
import type { Gateway, Listener } from '../../proto/gen/fairlead/v1/table_pb.js';
import { exchangeLog, jsonLog } from './access-logs.ts';
import { fromAgent } from './config-source.ts';
import { httpFilters } from './http-filters.ts';
import { localReplies } from './local-replies.ts';
import { ROUTE_CONFIGURATION } from './names.ts';
import type { EnvoySettings } from './settings.ts';
import { downstreamTls } from './tls.ts';
import { duration, typedConfig } from './typed-config.ts';

/** Of all request headers together, in KiB; above it 431. Envoy's default, named since users meet it. */
const MAX_REQUEST_HEADERS_KIB = 60;

/** A port of the gateway. All ports serve the same; in cleartext, HTTP/2 is spoken to who begins with it. */
export function gatewayListener(listener: Listener, gateway: Gateway, settings: EnvoySettings): ListenerJson {
  return {
    name: listener.name,
    address: { socketAddress: { address: listener.address, portValue: listener.port } },
    // A second gateway on the same port must fail, not silently take half of the connections.
    enableReusePort: false,
    // Workers then share one socket, which by itself gives most connections to whoever wakes first.
    connectionBalanceConfig: { exactBalance: {} },
    filterChains: [
      {
        ...(listener.tls && { transportSocket: downstreamTls(listener.tls) }),
        filters: [
          {
            name: 'envoy.filters.network.http_connection_manager',
            typedConfig: typedConfig(HttpConnectionManagerSchema, connectionManager(gateway, settings)),
          },
        ],
      },
    ],
  };
}

function connectionManager(gateway: Gateway, settings: EnvoySettings): HttpConnectionManagerJson {
  return {
    statPrefix: 'gateway',
    // Waits for its routes: an open port without any would answer 404.
    rds: { routeConfigName: ROUTE_CONFIGURATION, configSource: fromAgent(0) },
    httpFilters: httpFilters(gateway),
    accessLog: [exchangeLog(), jsonLog(settings.accessLogPath)],
    localReplyConfig: localReplies(),
    requestHeadersTimeout: duration(gateway.clientHeadersMs),
    requestTimeout: duration(gateway.clientUploadMs),
    maxRequestHeadersKb: MAX_REQUEST_HEADERS_KIB,
    useRemoteAddress: true,
    preserveExternalRequestId: true,
    alwaysSetRequestIdInResponse: true,
    serverHeaderTransformation: 'PASS_THROUGH',
    normalizePath: true,
    mergeSlashes: true,
    // Model ids in paths may hold %2F.
    pathWithEscapedSlashesAction: 'KEEP_UNCHANGED',
    // A connection may carry the requests of many callers, when there is a proxy before us: one that is wrong, or
    // answered 400, must not end it. What breaks the framing of HTTP/1 still does.
    streamErrorOnInvalidHttpMessage: true,
  };
}
