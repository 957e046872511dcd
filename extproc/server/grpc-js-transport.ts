import {
  Server,
  ServerCredentials,
  type ServerDuplexStream,
  type ServerReadableStream,
  type sendUnaryData,
  status,
} from '@grpc/grpc-js';
import { clearSocketPath, protectSocket } from '../../xds/socket-file.ts';
import { AccessLogStream } from './access-log-stream.ts';
import { asBuffer } from './as-buffer.ts';
import { liftHttp2Limits } from './grpc-js-limits.ts';
import { ACCESS_LOG_PATH, type ExchangeHandler, PROCESS_PATH, type ServeOptions, type Transport } from './transport.ts';

/** How long `drain` waits for the peer to take the ends of its streams before it cuts the connections. */
const DRAIN_GRACE_MS = 1_000;

const NOTHING = Buffer.alloc(0);

/** Frames pass as they are: who serves them reads them. */
const raw = (bytes: Buffer): Buffer => bytes;

/** Serves ext_proc and the access log on a Unix socket, over grpc-js. Rejects when it cannot listen. */
export async function serveGrpcJs(options: ServeOptions): Promise<Transport> {
  const server = new Server({
    'grpc.max_receive_message_length': options.maxMessageBytes,
    'grpc.enable_channelz': 0,
  });
  liftHttp2Limits(server);
  const calls = new Set<OpenCall>();
  register(server, options, calls);
  await clearSocketPath(options.path);
  await bind(server, options.path);
  protectSocket(options.path);
  return { drain: () => drain(server, options.path, calls) };
}

function register(server: Server, options: ServeOptions, calls: Set<OpenCall>): void {
  const definition = { requestStream: true, requestSerialize: raw, requestDeserialize: raw } as const;
  const answers = { responseSerialize: asBuffer, responseDeserialize: raw } as const;
  server.addService(
    {
      process: { path: PROCESS_PATH, responseStream: true, ...definition, ...answers },
      streamAccessLogs: { path: ACCESS_LOG_PATH, responseStream: false, ...definition, ...answers },
    },
    {
      process: (call: ServerDuplexStream<Buffer, Uint8Array>) => calls.add(new ExchangeCall(call, options, calls)),
      streamAccessLogs: (call: ServerReadableStream<Buffer, Buffer>, answer: sendUnaryData<Buffer>) =>
        calls.add(new AccessLogCall(call, answer, options, calls)),
    },
  );
}

interface OpenCall {
  end(): void;
}

/** One ext_proc stream: its messages to its handler, and the first of all ways to end. */
class ExchangeCall implements OpenCall {
  readonly #call: ServerDuplexStream<Buffer, Uint8Array>;
  readonly #calls: Set<OpenCall>;
  readonly #handler: ExchangeHandler;
  #open = true;

  constructor(call: ServerDuplexStream<Buffer, Uint8Array>, options: ServeOptions, calls: Set<OpenCall>) {
    this.#call = call;
    this.#calls = calls;
    this.#handler = options.openExchange(this);
    call.on('data', (frame: Buffer) => this.#open && this.#handler.message(frame));
    // END_STREAM must be answered: Envoy's graceful guard waits a second for our trailers.
    call.on('end', () => this.end());
    call.on('cancelled', () => this.#close());
    call.on('error', () => this.#close());
  }

  send(reply: Uint8Array): void {
    if (this.#open) this.#call.write(reply);
  }

  end(): void {
    if (!this.#open) return;
    this.#call.end();
    this.#close();
  }

  #close(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#calls.delete(this);
    this.#handler.closed();
  }
}

/** One stream of access log batches; Envoy keeps it open for as long as it lives. */
class AccessLogCall implements OpenCall {
  readonly #answer: sendUnaryData<Buffer>;
  readonly #calls: Set<OpenCall>;
  #open = true;

  constructor(
    call: ServerReadableStream<Buffer, Buffer>,
    answer: sendUnaryData<Buffer>,
    options: ServeOptions,
    calls: Set<OpenCall>,
  ) {
    this.#answer = answer;
    this.#calls = calls;
    const stream = new AccessLogStream(options.accessLog);
    call.on('data', (frame: Buffer) => {
      if (this.#open && !stream.message(frame)) this.#refuse();
    });
    call.on('end', () => this.end());
    call.on('cancelled', () => this.#close());
    call.on('error', () => this.#close());
  }

  end(): void {
    if (!this.#open) return;
    this.#close();
    this.#answer(null, NOTHING);
  }

  #refuse(): void {
    this.#close();
    this.#answer({ code: status.INVALID_ARGUMENT, details: 'not an access log message' });
  }

  #close(): void {
    this.#open = false;
    this.#calls.delete(this);
  }
}

function bind(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.bindAsync(`unix:${path}`, ServerCredentials.createInsecure(), error => {
      if (error === null) resolve();
      else reject(new Error(`cannot listen on ${path}: ${error.message}`));
    });
  });
}

function drain(server: Server, path: string, calls: Set<OpenCall>): Promise<void> {
  for (const call of calls) call.end();
  return new Promise(resolve => {
    server.drain(`unix:${path}`, DRAIN_GRACE_MS);
    server.tryShutdown(() => resolve());
  });
}
