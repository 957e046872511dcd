import { OnStoreFailure, type Secret, type SecretKey, type Valkey } from '../../proto/gen/fairlead/v1/table_pb.js';
import type { RouteTable } from './route-table.ts';

/** Where what is used of limits is counted, with all that it takes to get there. */
export interface LimitStoreSettings {
  /** Undefined: in the memory of each agent. */
  readonly valkey: ValkeySettings | MissingSecret | undefined;
  /** What holds while the store cannot be asked. */
  readonly onFailure: OnStoreFailure;
  /** How long a request waits for the store, milliseconds. */
  readonly timeoutMs: number;
}

/** How a Valkey is reached. */
export interface ValkeySettings {
  /** "valkey://host:port/db", or "valkeys://…" for TLS. */
  readonly url: string;
  /** Empty: the default user. */
  readonly username: string;
  /** Undefined: none is asked for. */
  readonly password: string | undefined;
  /** In PEM; undefined: the system's authorities. */
  readonly ca: string | undefined;
  /** The address is a node of a cluster. */
  readonly cluster: boolean;
}

/** A store that is wanted and cannot be reached: it is as if it were away. */
interface MissingSecret {
  /** What is missing, in words for people. */
  readonly missing: string;
}

/** As `LimitStore` has it, where an older control plane says nothing. */
const DEFAULT_TIMEOUT_MS = 20;

/** The store of limits that a table asks for, its secrets looked up. */
export function limitStoreSettings({ gateway, secrets }: RouteTable): LimitStoreSettings {
  const { valkey, onFailure, timeoutMs } = gateway.limitStore ?? {};
  return {
    valkey: valkey && connection(valkey, secrets),
    onFailure: onFailure || OnStoreFailure.LOCAL,
    timeoutMs: timeoutMs || DEFAULT_TIMEOUT_MS,
  };
}

function connection(
  { url, username, password, ca, cluster }: Valkey,
  secrets: ReadonlyMap<string, Secret>,
): ValkeySettings | MissingSecret {
  const missing = [password, ca].map(each => each && whatIsMissing(each, secrets)).find(Boolean);
  if (missing) return { missing };
  return { url, username, password: textOf(password, secrets), ca: textOf(ca, secrets), cluster };
}

function whatIsMissing({ secret, key }: SecretKey, secrets: ReadonlyMap<string, Secret>): string | undefined {
  const found = secrets.get(secret);
  if (found === undefined) return `Secret ${secret} is missing`;
  return found.data[key] === undefined ? `Secret ${secret} has no key "${key}"` : undefined;
}

function textOf(at: SecretKey | undefined, secrets: ReadonlyMap<string, Secret>): string | undefined {
  const bytes = at && secrets.get(at.secret)?.data[at.key];
  return bytes && Buffer.from(bytes).toString();
}
