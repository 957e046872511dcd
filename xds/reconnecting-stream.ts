import type { ChannelCredentials } from '@grpc/grpc-js';
import {
  Client,
  type ClientDuplexStream,
  credentials as grpcCredentials,
  type MethodDefinition,
  status,
} from '@grpc/grpc-js';
import { declinedDelayMs, reconnectDelayMs } from './backoff.ts';
import { channelOptions, connectTimeoutMs, declinedCheckMs, declinedMaxMs, openCheckMs } from './limits.ts';

interface ReconnectingStreamOptions<Request, Response> {
  /** "unix:/path" or "host:port". */
  readonly address: string;
  /**
   * Asked for every attempt, and now and then in between: it gives the same object for as long as nothing changed. What
   * it throws is why an attempt fails. Without it nothing is encrypted.
   */
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

/** How an attempt went: the server took the stream, said that it does not want this client, or neither. */
interface Ending {
  readonly reached: boolean;
  readonly declined: boolean;
}

/** The server answered, and will answer the same for a while. */
const DECLINED: ReadonlySet<status> = new Set([
  status.UNAUTHENTICATED,
  status.PERMISSION_DENIED,
  status.RESOURCE_EXHAUSTED,
]);

/**
 * Keeps one bidirectional stream of a method open for as long as `signal` does not abort: whenever it ends, a new one
 * follows after a jittered delay, which grows for as long as the server declines. A stream whose credentials are no
 * longer those of now is opened anew, so that the server has seen the current ones. Every attempt has a connection of
 * its own.
 */
export function keepStreamOpen<Request, Response>(options: ReconnectingStreamOptions<Request, Response>): void {
  const { signal } = options;
  const credentials = new CurrentCredentials(options.credentials);
  let failures = 0;
  let declined = 0;
  const open = () => {
    if (signal.aborted) return;
    const startedAtMs = performance.now();
    attempt(options, credentials, ending => {
      const lasted = ending.reached && performance.now() - startedAtMs > declinedMaxMs;
      failures = ending.reached ? 1 : failures + 1;
      if (!ending.declined) declined = 0;
      else declined = lasted ? 1 : declined + 1;
      again();
    });
  };
  const again = () => {
    if (signal.aborted) return;
    const random = Math.random;
    const delayMs = declined > 0 ? declinedDelayMs(declined, random) : reconnectDelayMs(failures, random);
    const wake = () => {
      clearTimeout(timer);
      clearInterval(check);
      signal.removeEventListener('abort', wake);
      open();
    };
    const timer = setTimeout(wake, delayMs);
    const check = setInterval(() => {
      if (!credentials.changed()) return;
      declined = 0;
      wake();
    }, declinedCheckMs);
    signal.addEventListener('abort', wake, { once: true });
  };
  open();
}

/** What the last attempt showed, and whether that is still so. */
class CurrentCredentials {
  readonly #read: (() => ChannelCredentials) | undefined;
  #shown: ChannelCredentials | undefined;

  constructor(read: (() => ChannelCredentials) | undefined) {
    this.#read = read;
  }

  /** @throws what the caller's function throws */
  show(): ChannelCredentials {
    this.#shown = undefined;
    this.#shown = (this.#read ?? grpcCredentials.createInsecure)();
    return this.#shown;
  }

  /** Credentials that cannot be had now are no other ones. */
  changed(): boolean {
    try {
      return this.#read !== undefined && this.#read() !== this.#shown;
    } catch {
      return false;
    }
  }
}

function attempt<Request, Response>(
  options: ReconnectingStreamOptions<Request, Response>,
  credentials: CurrentCredentials,
  ended: (ending: Ending) => void,
): void {
  const { address, method, signal } = options;
  let client: Client;
  try {
    client = new Client(address, credentials.show(), channelOptions);
  } catch (error) {
    options.disconnected(error instanceof Error ? error.message : String(error));
    ended({ reached: false, declined: false });
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
  let renewed = false;
  const lookAgain = () => {
    if (!reached || !credentials.changed()) return;
    renewed = true;
    call.cancel();
  };
  const check = setInterval(lookAgain, openCheckMs * (0.5 + 0.5 * Math.random()));
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
    clearInterval(check);
    signal.removeEventListener('abort', abort);
    client.close();
    options.disconnected(renewed ? 'the credentials changed' : details || `stream ended with status ${code}`);
    ended({ reached, declined: DECLINED.has(code) });
  });
  options.opened(request => {
    if (open) call.write(request);
  });
}
