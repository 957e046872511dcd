/** An object of the cluster that the operator runs in. */
interface ObjectName {
  readonly namespace: string;
  readonly name: string;
}

/** Options of `fairlead operator`; all but the first two and `insecure` are of a cluster only. */
export interface OperatorOptions {
  /** Where agents find it: "unix:/path" or "host:port". */
  readonly listen: string;
  readonly logLevel: string;
  /** "host:port" of probes and metrics. */
  readonly health?: string;
  /** Serves agents without TLS and without knowing them, also where other machines reach it. */
  readonly insecure?: boolean;
  /** Namespaces that count; all of them when absent. */
  readonly namespace?: readonly string[];
  /** The pod that this runs in, to be labelled while it leads. */
  readonly pod?: ObjectName;
  /** The Lease that replicas compete for; without it this process leads. */
  readonly lease?: ObjectName;
  /** Where the certificate is kept that agents see. */
  readonly tlsSecret?: ObjectName;
  /** Names by which agents reach this operator. */
  readonly tlsName?: readonly string[];
  /** The ServiceAccount of agents. */
  readonly agentAccount?: ObjectName;
}

/** Which options do not go together, and what to do; undefined when all do. */
export function optionsProblem(directory: string | undefined, options: OperatorOptions): string | undefined {
  const { listen, health, insecure, namespace, pod, lease, tlsSecret, tlsName, agentAccount } = options;
  const ofCluster = {
    health,
    namespace,
    pod,
    lease,
    'tls-secret': tlsSecret,
    'tls-name': tlsName,
    'agent-account': agentAccount,
  };
  const [stray] = Object.entries(ofCluster).filter(([, value]) => value !== undefined);
  if (directory !== undefined && stray) return `--${stray[0]} is of a cluster, not of a directory`;
  const trust = [tlsSecret, tlsName, agentAccount].filter(value => value !== undefined).length;
  if (trust !== 0 && trust !== 3) {
    return '--tls-secret, --tls-name and --agent-account belong together: a token is for TLS only';
  }
  if (trust !== 0 && insecure) return '--insecure contradicts --tls-secret';
  if (pod !== undefined && lease === undefined)
    return '--pod is of use with --lease: the label tells which replica leads';
  if (trust !== 0 || insecure || isLocal(listen)) return undefined;
  return (
    `at ${listen} other machines could read all that is published and report anything. Listen on unix:/path or ` +
    '127.0.0.1:port, serve TLS (--tls-secret, --tls-name, --agent-account), or add --insecure where the network is to ' +
    'be trusted.'
  );
}

/** Whether only this machine reaches an address. Whatever is not surely local counts as not. */
export function isLocal(listen: string): boolean {
  return /^(unix:.+|(localhost|127(\.\d{1,3}){3}|\[::1\]):\d+)$/.test(listen);
}
