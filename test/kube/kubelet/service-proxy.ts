import { connect, createServer, type Server, type Socket } from 'node:net';
import { addLocalAddress } from './pod-network.ts';
import type { Service, Slice } from './service.ts';

/** A port of a Service. */
interface Front {
  readonly address: string;
  readonly port: number;
  /** "address:port" of those that take new connections; replaced as they change. */
  backends: readonly string[];
  server: Server | undefined;
}

/**
 * What kube-proxy does for TCP: connections to a ClusterIP go to one of the Service's ready endpoints, at random; they
 * stay when that leaves the Service, and are refused where there is none. The endpoint sees the gateway as the client.
 */
export class ServiceProxy {
  readonly #fronts = new Map<string, Front>();
  readonly #sockets = new Set<Socket>();
  readonly #addresses = new Map<string, Promise<void>>();

  /** Makes the fronts those of these Services. */
  update(services: Iterable<Service>, slices: Iterable<Slice>): void {
    const wanted = wantedFronts(services, slices);
    for (const [key, { address, port, backends }] of wanted) {
      const front = this.#fronts.get(key) ?? { address, port, backends, server: undefined };
      front.backends = backends;
      this.#fronts.set(key, front);
    }
    for (const [key, front] of this.#fronts) {
      if (wanted.has(key)) continue;
      front.backends = [];
      this.#fronts.delete(key);
      this.#listenOrNot(front);
    }
    for (const front of this.#fronts.values()) this.#listenOrNot(front);
  }

  stop(): void {
    for (const front of this.#fronts.values()) front.server?.close();
    for (const socket of this.#sockets) socket.destroy();
  }

  /** A front without backends does not listen: its clients are refused, as they are by kube-proxy. */
  #listenOrNot(front: Front): void {
    if ((front.server !== undefined) === front.backends.length > 0) return;
    if (front.server !== undefined) {
      front.server.close();
      front.server = undefined;
      return;
    }
    const server = createServer({ allowHalfOpen: true, noDelay: true }, client => this.#join(client, front));
    const fail = (error: Error) => process.emitWarning(`${front.address}:${front.port}: ${error.message}`);
    front.server = server.on('error', fail);
    this.#own(front.address).then(() => {
      if (front.server === server) server.listen(front.port, front.address);
    }, fail);
  }

  /** Addresses stay to the end: a connection that is left needs its own. */
  #own(address: string): Promise<void> {
    const owned = this.#addresses.get(address) ?? addLocalAddress(address);
    this.#addresses.set(address, owned);
    return owned;
  }

  #join(client: Socket, front: Front): void {
    const backend = front.backends[Math.floor(Math.random() * front.backends.length)];
    if (backend === undefined) {
      client.resetAndDestroy();
      return;
    }
    const [host, port] = backend.split(':');
    const server = connect({ host: host ?? '', port: Number(port), allowHalfOpen: true, noDelay: true });
    this.#pass(client, server);
    this.#pass(server, client);
  }

  #pass(from: Socket, to: Socket): void {
    this.#sockets.add(from);
    from.pipe(to);
    from.on('error', () => to.resetAndDestroy());
    from.on('close', () => {
      this.#sockets.delete(from);
      // One that closes without an error has said all that it had to; the other may still be sending it.
      if (!from.readableEnded) to.destroy();
    });
  }
}

function wantedFronts(services: Iterable<Service>, slices: Iterable<Slice>): Map<string, Omit<Front, 'server'>> {
  const fronts = new Map<string, Omit<Front, 'server'>>();
  const byService = Map.groupBy(slices, ({ service }) => service);
  for (const { namespace, name: service, clusterIp, ports } of services) {
    if (clusterIp === undefined) continue;
    for (const { name, port } of ports) {
      const backends = (byService.get(`${namespace}/${service}`) ?? []).flatMap(slice => {
        const target = slice.ports.get(name);
        return target === undefined ? [] : slice.addresses.map(address => `${address}:${target}`);
      });
      fronts.set(`${clusterIp}:${port}`, { address: clusterIp, port, backends });
    }
  }
  return fronts;
}
