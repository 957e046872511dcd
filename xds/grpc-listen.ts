import { Server, ServerCredentials } from '@grpc/grpc-js';
import { type Authenticate, authenticating } from './grpc-authentication.ts';
import { guardConnections } from './grpc-connections.ts';
import { guardedServerOptions, serverOptions, shutdownGraceMs } from './limits.ts';
import { clearSocketPath, protectSocket } from './socket-file.ts';

/** Decides who is served, where strangers reach the server. */
export interface Guard {
  readonly authenticate: Authenticate;
  /** A peer at this address did not get as far as a stream. */
  onFailedHandshake?(peer: string, reason: string): void;
}

/** A gRPC server with the limits and keep-alives of this room, not listening yet. */
export function createGrpcServer(guard?: Guard): Server {
  if (guard === undefined) return new Server(serverOptions);
  const interceptors = [authenticating(guard.authenticate)];
  const server = new Server({ ...serverOptions, ...guardedServerOptions, interceptors });
  guardConnections(server, (peer, reason) => guard.onFailedHandshake?.(peer, reason));
  return server;
}

export interface GrpcListener {
  /** As dialled: "unix:/path", or "host:port" with the port that was bound. */
  readonly address: string;
  /** Settles when the server is shut down. */
  readonly closed: Promise<void>;
}

/**
 * Listens on "unix:/path" (mode 0600; a socket left over by a dead process is replaced, one that is served is an error) or "host:port" (0: any port),
 * until `signal` aborts. Streams should be ended by then: connections that linger are cut.
 */
export async function listenGrpc(
  server: Server,
  address: string,
  signal: AbortSignal,
  credentials: ServerCredentials = ServerCredentials.createInsecure(),
): Promise<GrpcListener> {
  signal.throwIfAborted();
  const path = address.startsWith('unix:') ? address.slice('unix:'.length) : undefined;
  if (path !== undefined) await clearSocketPath(path);
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync(address, credentials, (error, bound) => (error === null ? resolve(bound) : reject(error)));
  });
  if (path !== undefined) protectSocket(path);
  const closed = new Promise<void>(resolve => {
    const shutDown = () => {
      const timer = setTimeout(() => server.forceShutdown(), shutdownGraceMs);
      server.tryShutdown(() => {
        clearTimeout(timer);
        resolve();
      });
    };
    if (signal.aborted) shutDown();
    else signal.addEventListener('abort', shutDown, { once: true });
  });
  return { address: path === undefined ? address.replace(/:\d+$/, `:${port}`) : address, closed };
}
