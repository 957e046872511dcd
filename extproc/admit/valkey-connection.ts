import { isIP } from 'node:net';
import type { ConnectionOptions } from 'node:tls';
import { Cluster, Redis, type RedisOptions, ReplyError } from 'ioredis';
import { VALKEY_SCRIPTS, type ValkeyScript } from './valkey-scripts.ts';

export interface ValkeyAddress {
  /** valkey[s]://host[:port][/database], where redis[s] is the same; with the s it is TLS. */
  readonly url: string;
  /** Of the server's ACL; its default user when absent. */
  readonly username?: string;
  readonly password?: string;
  /** PEM, trusted instead of the public authorities. */
  readonly ca?: string;
  /** The address is one of a Valkey cluster's. All that we keep has one hash tag, so that one node serves it. */
  readonly cluster?: boolean;
}

/** Without one that the types of Redis and Cluster state differently. */
type ConnectOptions = Omit<RedisOptions, 'replyMapping'>;

const DEFAULT_PORT = 6379;
const CONNECT_TIMEOUT_MS = 2_000;
/** A server that says nothing for so long while it is asked something is connected to anew. */
const SILENCE_TIMEOUT_MS = 5_000;
const FIRST_RETRY_MS = 50;
const MAX_RETRY_MS = 1_000;

/** The store cannot be asked now; the message says why, for the operator on call. */
export class StoreUnavailable extends Error {
  override readonly name = 'StoreUnavailable';
  /** Whether the script that was to run may have run all the same. */
  readonly mayHaveRun: boolean;

  constructor(message: string, { mayHaveRun }: { mayHaveRun: boolean }) {
    super(message);
    this.mayHaveRun = mayHaveRun;
  }
}

/**
 * One connection (or one a node of a cluster) that is made anew for ever. The first is waited for, so that nothing fails
 * only since it was asked early; what is asked later while there is none fails at once. Nothing is ever sent twice:
 * whether a script is to be run again only its caller knows.
 */
export class ValkeyConnection {
  readonly #client: Redis | Cluster;
  /** Resolves when the first connection is there, or has failed, or is not wanted any more. */
  readonly #first = Promise.withResolvers<void>();
  #isBeginning = true;
  #failure = 'not connected yet';

  constructor(address: ValkeyAddress) {
    this.#client = connect(address);
    for (const [name, script] of Object.entries(VALKEY_SCRIPTS)) this.#client.defineCommand(name, script);
    const failed = (error: unknown) => {
      this.#failure = failureText(error);
    };
    this.#client.on('error', failed).on('node error', failed);
    this.#client.on('ready', () => {
      this.#failure = 'the connection was closed';
    });
    for (const event of ['ready', 'error', 'close']) this.#client.once(event, () => this.#begun());
  }

  /**
   * What the script returned. Loads it first where the server does not have it.
   * @throws StoreUnavailable when the server refuses, or there is no connection, or it ends before the answer.
   */
  run(script: ValkeyScript, keys: readonly string[], args: readonly string[]): Promise<unknown> {
    if (!this.#isBeginning) return this.#send(script, keys, args);
    return this.#first.promise.then(() => this.#send(script, keys, args));
  }

  /** Gives up what is under way. */
  close(): void {
    this.#client.disconnect();
    this.#begun();
  }

  #begun(): void {
    this.#isBeginning = false;
    this.#first.resolve();
  }

  #send(script: ValkeyScript, keys: readonly string[], args: readonly string[]): Promise<unknown> {
    // defineCommand() adds methods that its types do not know.
    const scripts = this.#client as unknown as Record<ValkeyScript, (...args: string[]) => Promise<unknown>>;
    // Without a connection nothing is sent, as there is no queue for later.
    const isSent = this.#client.status === 'ready';
    return scripts[script](...keys, ...args).catch((error: unknown) => {
      // An error in the reply says that nothing was done; without a reply nobody knows.
      const isRefused = error instanceof ReplyError;
      const text = isRefused ? failureText(error) : this.#failure;
      throw new StoreUnavailable(text, { mayHaveRun: isSent && !isRefused });
    });
  }
}

function connect({ url, username, password, ca, cluster = false }: ValkeyAddress): Redis | Cluster {
  const { protocol, hostname, port, pathname } = new URL(url);
  const host = hostname.replace(/^\[(.*)\]$/, '$1');
  const options: ConnectOptions = {
    family: 0,
    connectTimeout: CONNECT_TIMEOUT_MS,
    socketTimeout: SILENCE_TIMEOUT_MS,
    disableClientInfo: true,
    maxLoadingRetryTime: MAX_RETRY_MS,
    maxRetriesPerRequest: 0,
    autoResendUnfulfilledCommands: false,
  };
  if (username !== undefined) options.username = username;
  if (password !== undefined) options.password = password;
  if (/^(valkeys|rediss):$/.test(protocol)) options.tls = tlsOptions(host, ca);
  const node = { host, port: Number(port) || DEFAULT_PORT };
  const retryStrategy = (attempt: number) => Math.min(FIRST_RETRY_MS * 2 ** (attempt - 1), MAX_RETRY_MS);
  if (!cluster) {
    const db = Number(pathname.slice(1));
    return new Redis({ ...options, ...node, db, retryStrategy, enableOfflineQueue: false });
  }
  return new Cluster([node], {
    clusterRetryStrategy: retryStrategy,
    enableOfflineQueue: false,
    retryDelayOnFailover: 0,
    retryDelayOnClusterDown: 0,
    redisOptions: options,
  });
}

/** A cluster tells its nodes by address, while their certificates have the name. */
function tlsOptions(host: string, ca: string | undefined): ConnectionOptions {
  const options: ConnectionOptions = {};
  if (ca !== undefined) options.ca = ca;
  if (isIP(host) === 0) options.servername = host;
  return options;
}

/** In one line. */
function failureText(error: unknown): string {
  // A cluster's says what became of its nodes, and a name with several addresses what became of each.
  const { lastNodeError, errors } = error as { lastNodeError?: unknown; errors?: readonly unknown[] };
  const inner = lastNodeError ?? errors?.[0];
  if (inner !== undefined) return failureText(inner);
  const text = error instanceof Error ? error.message : String(error);
  if (/^(WRONGPASS|NOAUTH)\b/.test(text)) return `the server refuses the user name or the password (${text})`;
  if (/^NOPERM\b|can't run this command/.test(text)) return `the user may not do what is needed (${text})`;
  if (text.startsWith('OOM')) return `the server's memory is full (${text})`;
  return text;
}
