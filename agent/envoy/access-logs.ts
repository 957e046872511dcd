import { ATTEMPT_LOG, EXCHANGE_LOG, ID_HEADER, TOKEN_USAGE_NAMESPACE } from '../../proto/exchange-names.ts';
import type { AccessLogJson } from '../../proto/gen/envoy/config/accesslog/v3/accesslog_pb.js';
import { FileAccessLogSchema } from '../../proto/gen/envoy/extensions/access_loggers/file/v3/file_pb.js';
import { HttpGrpcAccessLogConfigSchema } from '../../proto/gen/envoy/extensions/access_loggers/grpc/v3/als_pb.js';
import { StdoutAccessLogSchema } from '../../proto/gen/envoy/extensions/access_loggers/stream/v3/stream_pb.js';
import { ACCESS_LOG_CLUSTER, ENDPOINT_NAMESPACE } from './names.ts';
import { exchangeFact } from './substitutions.ts';
import { duration, typedConfig } from './typed-config.ts';

/** Records reach extproc this late at most; they settle tokens and health, so soon, but in batches. */
const FLUSH_INTERVAL_MS = 50;
const FLUSH_BYTES = 16_384;
/** Upstream statuses that are a failed attempt: 429 and every 5xx, the 4xx between them for the caller's fault. */
const FAILED_FROM_STATUS = 429;

/** One record per exchange to extproc: what it took, and how it ended. */
export function exchangeLog(): AccessLogJson {
  return grpcLog(EXCHANGE_LOG);
}

/** One record per failed attempt to extproc, while the exchange may go on elsewhere. */
export function attemptLog(): AccessLogJson {
  return {
    ...grpcLog(ATTEMPT_LOG),
    filter: {
      orFilter: {
        filters: [
          {
            statusCodeFilter: {
              comparison: { op: 'GE', value: { defaultValue: FAILED_FROM_STATUS, runtimeKey: 'fairlead.unused' } },
            },
          },
          { responseFlagFilter: {} },
        ],
      },
    },
  };
}

/** Opened as a file, it would have to be one that Envoy's user may open: often it is a socket, or another user's. */
const STDOUT = '/dev/stdout';

/** The access log for people and log collectors: one line of JSON per exchange; probes, every second or so, are none. */
export function jsonLog(path: string): AccessLogJson {
  const logFormat = { jsonFormat: JSON_FIELDS };
  return {
    name: 'json',
    filter: { notHealthCheckFilter: {} },
    typedConfig:
      path === STDOUT
        ? typedConfig(StdoutAccessLogSchema, { logFormat })
        : typedConfig(FileAccessLogSchema, { path, logFormat }),
  };
}

const JSON_FIELDS = {
  time: '%START_TIME%',
  request_id: '%REQ(X-REQUEST-ID)%',
  id: exchangeFact('id'),
  method: '%REQ(:METHOD)%',
  // Without the query, which may carry what is nobody's business.
  path: '%PATH(NQ)%',
  protocol: '%PROTOCOL%',
  consumer: exchangeFact('consumer'),
  model: exchangeFact('model'),
  runtime: exchangeFact('runtime'),
  strategy: exchangeFact('strategy'),
  backend: exchangeFact('backend'),
  pod: `%UPSTREAM_METADATA(${ENDPOINT_NAMESPACE}:pod)%`,
  code: '%RESPONSE_CODE%',
  details: '%RESPONSE_CODE_DETAILS%',
  flags: '%RESPONSE_FLAGS%',
  attempts: '%UPSTREAM_REQUEST_ATTEMPT_COUNT%',
  duration_ms: '%DURATION%',
  // Response headers, which engines send before the first token.
  headers_ms: '%RESPONSE_DURATION%',
  request_bytes: '%BYTES_RECEIVED%',
  response_bytes: '%BYTES_SENT%',
  input_tokens: usage('input_tokens'),
  output_tokens: usage('output_tokens'),
};

/** Token usage is typed metadata, which only a CEL expression reads; TYPED keeps it a number. */
function usage(field: string): string {
  return `%TYPED_CEL(metadata.typed_filter_metadata['${TOKEN_USAGE_NAMESPACE}'].${field})%`;
}

function grpcLog(logName: typeof EXCHANGE_LOG | typeof ATTEMPT_LOG): AccessLogJson {
  return {
    name: logName,
    typedConfig: typedConfig(HttpGrpcAccessLogConfigSchema, {
      commonConfig: {
        logName,
        grpcService: { envoyGrpc: { clusterName: ACCESS_LOG_CLUSTER } },
        transportApiVersion: 'V3',
        bufferFlushInterval: duration(FLUSH_INTERVAL_MS),
        bufferSizeBytes: FLUSH_BYTES,
      },
      additionalRequestHeadersToLog: [ID_HEADER],
    }),
  };
}
