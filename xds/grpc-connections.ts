import type { Http2SecureServer, Http2Server } from 'node:http2';
import type { Socket } from 'node:net';
import type { Server } from '@grpc/grpc-js';
import { maxConnections } from './limits.ts';

interface ServerInsides {
  createHttp2Server(credentials: unknown): Http2Server | Http2SecureServer;
}

/**
 * Bounds the connections of a grpc-js server that strangers reach, before it is bound, and tells whose TLS handshake
 * failed. grpc-js 1.14 has no options for either, so this reaches into it; a test notices other insides.
 */
export function guardConnections(server: Server, onFailedHandshake: (peer: string, reason: string) => void): void {
  const insides = server as unknown as ServerInsides;
  const createHttp2Server = insides.createHttp2Server.bind(server);
  insides.createHttp2Server = credentials => {
    const http2Server = createHttp2Server(credentials);
    http2Server.maxConnections = maxConnections;
    http2Server.on('tlsClientError', (error: NodeJS.ErrnoException, { remoteAddress = 'unknown' }: Socket) =>
      onFailedHandshake(remoteAddress, error.code ?? error.message),
    );
    return http2Server;
  };
}
