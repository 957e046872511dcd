import { createServer } from 'node:net';

/** An address that one of our processes is to listen on, and what says so. */
export interface WantedAddress {
  readonly address: string;
  readonly port: number;
  /** The setting to change: "spec.listeners[0].port of the InferenceGateway". */
  readonly setting: string;
}

/** Says of each address that cannot be had why not, and what to do. */
export async function takenAddresses(wanted: readonly WantedAddress[]): Promise<string[]> {
  const reasons = await Promise.all(wanted.map(({ address, port }) => whyNot(address, port)));
  return wanted.flatMap(({ address, port, setting }, index) => {
    const reason = reasons[index];
    if (reason === undefined) return [];
    const place = `${address}:${port}`;
    if (reason === 'EADDRINUSE') {
      return [`${place} is taken by another program. Stop that program, or choose another port: ${setting}.`];
    }
    const what = reason === 'EADDRNOTAVAIL' ? `${address} is not an address of this machine` : `${place}: ${reason}`;
    return [`${what}. Choose another one: see ${setting}.`];
  });
}

function whyNot(address: string, port: number): Promise<string | undefined> {
  return new Promise(resolve => {
    const server = createServer();
    server.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    server.listen({ host: address, port, exclusive: true }, () => server.close(() => resolve(undefined)));
  });
}
