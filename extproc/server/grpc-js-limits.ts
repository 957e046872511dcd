import type { Http2Server, ServerHttp2Session, ServerOptions } from 'node:http2';
import type { Server } from '@grpc/grpc-js';

/** Flow-control window of a stream: bodies below it arrive without waiting for us. Envoy offers the same. */
const STREAM_WINDOW_BYTES = 16 * 1024 * 1024;
/** Flow-control window of a connection, which all its streams share. */
const CONNECTION_WINDOW_BYTES = 256 * 1024 * 1024;
/** More streams than Envoy opens on one connection (its cluster's max_concurrent_streams). */
const MAX_CONCURRENT_STREAMS = 1_000_000;
/**
 * Envoy ends streams by RST_STREAM (unless its graceful guard is on). Node answers about 1,000 of them in a short
 * time with GOAWAY, a guard against "rapid reset" attacks; here that loses requests, and the peer is our own Envoy.
 */
const UNLIMITED_RESETS = 1e9;

interface ServerInsides {
  commonServerOptions: ServerOptions & { streamResetBurst?: number; streamResetRate?: number };
  createHttp2Server(credentials: unknown): Http2Server;
}

/**
 * Lifts the limits of the HTTP/2 server below a grpc-js server, before it is bound. grpc-js 1.14 has no options for
 * them, so this reaches into it; the behaviour suite notices when a new version has other insides.
 * (Not done: `Error.stackTraceLimit = 0`, which would make each reset cheaper and every stack trace empty.)
 */
export function liftHttp2Limits(server: Server): void {
  const insides = server as unknown as ServerInsides;
  Object.assign(insides.commonServerOptions, {
    streamResetBurst: UNLIMITED_RESETS,
    streamResetRate: UNLIMITED_RESETS,
    settings: { initialWindowSize: STREAM_WINDOW_BYTES, maxConcurrentStreams: MAX_CONCURRENT_STREAMS },
  } satisfies ServerInsides['commonServerOptions']);
  const createHttp2Server = insides.createHttp2Server.bind(server);
  insides.createHttp2Server = credentials => {
    const http2Server = createHttp2Server(credentials);
    http2Server.on('session', (session: ServerHttp2Session) => session.setLocalWindowSize(CONNECTION_WINDOW_BYTES));
    return http2Server;
  };
}
