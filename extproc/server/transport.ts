/** What an exchange may do to its stream. Calls after either side has ended it change nothing. */
export interface ExchangeStream {
  /** Answers one message. `reply` is not changed by anybody afterwards. */
  send(reply: Uint8Array): void;
  /** Ends the stream: Envoy goes on with the request as it is. `closed` of the handler follows. */
  end(): void;
}

/** One HTTP exchange: one ext_proc stream. */
export interface ExchangeHandler {
  /** A message of Envoy's. The frame is the handler's to keep. Never called after `closed`. */
  message(frame: Uint8Array): void;
  /** The exchange is over: END_STREAM, a reset, a lost connection, or our own end. Exactly once. */
  closed(): void;
}

export interface AccessLogHandler {
  /** A batch of one log: "end" (an exchange each) or "attempt" (a failed attempt each); HTTPAccessLogEntry bytes. */
  entries(logName: string, entries: readonly Uint8Array[]): void;
}

export interface ServeOptions {
  /** Path of the Unix socket. A file that a dead process left there is replaced. */
  readonly path: string;
  /** Called for every stream; what it returns is that stream's. */
  readonly openExchange: (stream: ExchangeStream) => ExchangeHandler;
  readonly accessLog: AccessLogHandler;
  /** Longest message accepted: the body limit and some for its envelope. */
  readonly maxMessageBytes: number;
}

export interface Transport {
  /**
   * Ends every open stream cleanly, so that the exchanges behind them go on in Envoy, and then stops listening.
   * Resolves when nothing is left.
   */
  drain(): Promise<void>;
}

/** The two gRPC methods, as Envoy calls them. */
export const PROCESS_PATH = '/envoy.service.ext_proc.v3.ExternalProcessor/Process';
export const ACCESS_LOG_PATH = '/envoy.service.accesslog.v3.AccessLogService/StreamAccessLogs';
