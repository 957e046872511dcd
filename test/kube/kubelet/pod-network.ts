import { execFile, execFileSync } from 'node:child_process';
import { readlinkSync } from 'node:fs';
import { promisify } from 'node:util';

/** The address by which pods reach the cluster's own namespace: their gateway. */
export const GATEWAY_ADDRESS = '10.244.0.1';

/** Set by `in-namespace.sh` to the network namespace that it made. */
const NAMESPACE_VARIABLE = 'FAIRLEAD_TEST_NETWORK';

/** iproute2 */
const IP = 'ip';
const BRIDGE = 'cni0';

/**
 * Makes the network of the pods in this network namespace, which is the cluster's: a bridge, to which each pod's
 * namespace is tied. Clears away what an earlier cluster in the same namespace left.
 * @throws Error when this namespace is not one that was made for tests
 */
export function preparePodNetwork(): void {
  if (process.env[NAMESPACE_VARIABLE] !== readlinkSync('/proc/self/ns/net')) {
    throw new Error('tests with pods run in a network of their own: test/kube/in-namespace.sh node --test FILE');
  }
  try {
    ip(`link delete ${BRIDGE}`);
  } catch {
    // There was none.
  }
  ip('address flush dev lo', 'link set lo up', 'address add 127.0.0.1/8 dev lo');
  ip(`link add ${BRIDGE} type bridge`, `address add ${GATEWAY_ADDRESS}/16 dev ${BRIDGE}`, `link set ${BRIDGE} up`);
}

/** Ties the namespace of process `pid` to the bridge, as its interface "eth0". */
export async function attachToBridge(pid: number): Promise<void> {
  const name = `veth${pid}`;
  await ipLater(`link add ${name} type veth peer name eth0 netns ${pid}`, `link set ${name} master ${BRIDGE} up`);
}

/** This namespace answers at one more address, as kube-proxy in IPVS mode does it. */
export async function addLocalAddress(address: string): Promise<void> {
  await ipLater(`address replace ${address}/32 dev lo`);
}

function ip(...commands: readonly string[]): void {
  execFileSync(IP, ['-batch', '-'], { input: `${commands.join('\n')}\n`, stdio: ['pipe', 'ignore', 'pipe'] });
}

async function ipLater(...commands: readonly string[]): Promise<void> {
  const running = promisify(execFile)(IP, ['-batch', '-']);
  // One that ends before it has read everything says why by its exit code.
  running.child.stdin?.on('error', () => undefined).end(`${commands.join('\n')}\n`);
  await running;
}
