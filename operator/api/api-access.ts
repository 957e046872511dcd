import { readFile } from 'node:fs/promises';
import { Agent, type RequestOptions } from 'node:https';
import { join } from 'node:path';
import type { KubeConfig } from '@kubernetes/client-node';

/** Where the API server is, and who we are to it. */
export interface ApiAccess {
  /** "https://host:port", without a slash at its end. */
  readonly server: string;
  /** Adds what proves who we are. Asked for every request: tokens and certificates are renewed in their files. */
  authorize(options: RequestOptions): Promise<void>;
}

/** Where a pod finds its ServiceAccount: https://kubernetes.io/docs/tasks/run-application/access-api-from-pod/ */
const SERVICE_ACCOUNT_DIRECTORY = '/var/run/secrets/kubernetes.io/serviceaccount';

/** The user of a kubeconfig. @throws Error when it names no cluster */
export function kubeConfigAccess(kubeConfig: KubeConfig): ApiAccess {
  const server = kubeConfig.getCurrentCluster()?.server;
  if (server === undefined) throw new Error('the kubeconfig names no cluster');
  return {
    server: server.replace(/\/+$/, ''),
    authorize: options => kubeConfig.applyToHTTPSOptions(options),
  };
}

/** The ServiceAccount of the pod that this runs in; undefined where this is no pod. */
export function podAccess(
  env: Readonly<Record<string, string | undefined>>,
  directory = SERVICE_ACCOUNT_DIRECTORY,
): ApiAccess | undefined {
  const { KUBERNETES_SERVICE_HOST: host, KUBERNETES_SERVICE_PORT: port = '443' } = env;
  if (host === undefined) return undefined;
  let trusted: { readonly ca: string; readonly agent: Agent } | undefined;
  return {
    server: `https://${host.includes(':') ? `[${host}]` : host}:${port}`,
    authorize: async options => {
      const [token, ca] = await Promise.all(['token', 'ca.crt'].map(name => readFile(join(directory, name), 'utf8')));
      if (trusted?.ca !== ca) trusted = { ca: ca ?? '', agent: new Agent({ keepAlive: true, ca: ca ?? '' }) };
      options.agent = trusted?.agent;
      options.headers = { ...options.headers, authorization: `Bearer ${token?.trim()}` };
    },
  };
}
