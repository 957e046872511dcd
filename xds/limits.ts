import type { ChannelOptions } from '@grpc/grpc-js';

/** Largest message either side takes. A first request lists all that a client holds: 100,000 names of 100 bytes are 10 MB. */
const maxMessageBytes = 64 * 1024 * 1024;

/** A response is closed once its resources reach this size; the rest follows after its ACK. Bounds memory per client. */
export const responseTargetBytes = 2 * 1024 * 1024;

/** Clients of one server at a time; an installation has at most some thousand agents. */
export const maxStreams = 10_000;

/** Connections to a server that authenticates: an agent has two, and strangers have some until they are refused. */
export const maxConnections = 2 * maxStreams;

/** Types that a client may ask for without the server having declared them (Envoy asks for what its bootstrap names). */
export const maxUndeclaredTypes = 16;

/**
 * For how long changes of one type may wait for the ACK of another. Routes to a missing cluster fail alone; routes held
 * back for ever by one cluster that never warms would fail everybody.
 */
export const gateTimeoutMs = 5_000;

/**
 * For how long a new stream's removals wait for the client to name all types: a reconnecting Envoy names clusters
 * before routes, and must not lose a cluster before it heard that its route is gone.
 */
export const removalHoldMs = 100;

/** A connection or stream not established by then is given up and tried again. */
export const connectTimeoutMs = 5_000;

/** Delay between attempts to reconnect: at least and at most. Envoy's own is set to the same in its bootstrap. */
export const reconnectMinMs = 100;
export const reconnectMaxMs = 1_000;

/**
 * The longest delay after a server declined: what it said will hold for a while, and telling every client so again each
 * second is all that a server with a thousand of them would do (a refused TLS connection costs it 2 ms of a CPU).
 */
export const declinedMaxMs = 30_000;

/**
 * How often a client looks whether its credentials changed, milliseconds: while a stream is open (from half of that on,
 * so that clients do not come together), and while one that was declined waits.
 */
export const openCheckMs = 30_000;
export const declinedCheckMs = 1_000;

/** Open streams are ended first; connections that then linger are cut. */
export const shutdownGraceMs = 500;

/** A silent peer is noticed after time + timeout, also when no packet tells that it is gone. */
const keepalive: ChannelOptions = {
  'grpc.keepalive_time_ms': 10_000,
  'grpc.keepalive_timeout_ms': 5_000,
  'grpc.keepalive_permit_without_calls': 1,
};

export const channelOptions: ChannelOptions = {
  ...keepalive,
  'grpc.max_receive_message_length': maxMessageBytes,
  'grpc.max_send_message_length': maxMessageBytes,
  // Each attempt is a new channel with a backoff of ours; a shared subchannel would bring its own.
  'grpc.use_local_subchannel_pool': 1,
  // A long-lived stream gains nothing from buffering itself for a retry.
  'grpc.enable_retries': 0,
  // The control plane and the socket beside us are never behind a proxy.
  'grpc.enable_http_proxy': 0,
};

export const serverOptions: ChannelOptions = {
  ...keepalive,
  'grpc.max_receive_message_length': maxMessageBytes,
  'grpc.max_send_message_length': maxMessageBytes,
};

/** What those get besides whom nobody knows yet. */
export const guardedServerOptions: ChannelOptions = {
  // An agent opens one a connection.
  'grpc.max_concurrent_streams': 8,
  // A peer that was refused, or asks for nothing, does not keep its connection.
  'grpc.max_connection_idle_ms': 30_000,
};
