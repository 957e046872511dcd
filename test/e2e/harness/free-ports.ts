import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type ListenOptions } from 'node:net';

/** Below those that Linux gives to connections and to listeners that ask for any (`ip_local_port_range`). */
const FIRST = 10_000;
const END = 32_768;

/**
 * Ports of 127.0.0.1 that nobody listens on, all different. They are this process's until it ends: no connection is
 * given one, nor is another test process that asks here.
 */
export async function freePorts(count: number): Promise<number[]> {
  const ports: number[] = [];
  while (ports.length < count) {
    const port = randomInt(FIRST, END);
    if ((await claims(port)) && (await isFree(port))) ports.push(port);
  }
  return ports;
}

/** By an abstract socket, which one process of a network namespace has at a time and which leaves no file. */
async function claims(port: number): Promise<boolean> {
  return (await listens({ path: `\0fairlead-test-port-${port}` })) !== undefined;
}

async function isFree(port: number): Promise<boolean> {
  const server = await listens({ host: '127.0.0.1', port });
  await server?.[Symbol.asyncDispose]();
  return server !== undefined;
}

/** Undefined when somebody else does. */
async function listens(where: ListenOptions) {
  const server = createServer().unref().listen(where);
  try {
    await once(server, 'listening');
    return server;
  } catch {
    return undefined;
  }
}
