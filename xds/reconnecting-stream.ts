import type { ChannelCredentials } from '@grpc/grpc-js';
import { Client, type ClientDuplexStream, credentials as grpcCredentials, type MethodDefinition } from '@grpc/grpc-js';
import { reconnectDelayMs } from './backoff.ts';
import { channelOptions, connectTimeoutMs } from './limits.ts';

interface ReconnectingStreamOptions<Request, Response> {
  /** "unix:/path" or "host:port". */
  readonly address: string;
  /** Asked for every attempt; what it throws is why the attempt fails. Without it nothing is encrypted. */
  readonly credentials?: (() => ChannelCredentials) | undefined;
  readonly method: MethodDefinition<Request, Response>;
  readonly signal: AbortSignal;
  /** A stream begins: what must be said first. It may still fail to reach anybody. */
  opened(send: (request: Request) => void): void;
  received(response: Response): void;
  /** The server took the stream. */
  connected(): void;
  /** A stream ended, or could not be opened; another one follows unless the signal aborted. */
  disconnected(reason: string): void;
}

/**
 * Keeps one bidirectional stream of a method open for as long as `signal` does not abort: whenever it ends, a new one
 * follows after a jittered delay. Every attempt has a connection of its own.
 */
export function keepStreamOpen<Request, Response>(options: ReconnectingStreamOptions<Request, Response>): void {
  let failures = 0;
  const again = (reached: boolean) => {
    failures = reached ? 1 : failures + 1;
    if (options.signal.aborted) return;
    const wake = () => {
      clearTimeout(timer);
      options.signal.removeEventListener('abort', wake);
      if (!options.signal.aborted) attempt(options, again);
    };
    const timer = setTimeout(wake, reconnectDelayMs(failures, Math.random));
    options.signal.addEventListener('abort', wake, { once: true });
  };
  if (!options.signal.aborted) attempt(options, again);
}

function attempt<Request, Response>(
  options: ReconnectingStreamOptions<Request, Response>,
  ended: (reached: boolean) => void,
): void {
  const { address, method, signal, credentials = grpcCredentials.createInsecure } = options;
  let client: Client;
  try {
    client = new Client(address, credentials(), channelOptions);
  } catch (error) {
    options.disconnected(error instanceof Error ? error.message : String(error));
    ended(false);
    return;
  }
  const call: ClientDuplexStream<Request, Response> = client.makeBidiStreamRequest(
    method.path,
    method.requestSerialize,
    method.responseDeserialize,
  );
  let reached = false;
  let open = true;
  const timer = setTimeout(() => call.cancel(), connectTimeoutMs);
  const abort = () => call.cancel();
  signal.addEventListener('abort', abort, { once: true });
  call.on('metadata', () => {
    if (!open) return;
    clearTimeout(timer);
    reached = true;
    options.connected();
  });
  call.on('data', (response: Response) => {
    if (open) options.received(response);
  });
  call.on('error', () => {
    // 'status' tells the same.
  });
  call.on('status', ({ details, code }) => {
    open = false;
    clearTimeout(timer);
    signal.removeEventListener('abort', abort);
    client.close();
    options.disconnected(details || `stream ended with status ${code}`);
    ended(reached);
  });
  options.opened(request => {
    if (open) call.write(request);
  });
}
