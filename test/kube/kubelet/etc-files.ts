import { mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { PodObject } from './pod-object.ts';
import { type Service, type Slice, serviceHosts } from './service.ts';

/** `hosts` and `resolv.conf` of a pod. There is no DNS: what is no Service is not found, and at once. */
export class EtcFiles {
  readonly directory: string;
  readonly #namespace: string;
  readonly #own: readonly string[];
  #written: string | undefined;

  constructor(directory: string, { metadata, spec }: PodObject, address: string) {
    this.directory = directory;
    this.#namespace = metadata.namespace;
    const aliases = (spec.hostAliases ?? []).map(({ ip, hostnames = [] }) => `${ip} ${hostnames.join(' ')}`);
    this.#own = ['127.0.0.1 localhost', `${address} ${spec.hostname ?? metadata.name}`, ...aliases];
    mkdirSync(directory, { recursive: true });
    // Nobody listens there: refused, where an address out of reach would cost the resolver's time limit.
    writeFileSync(join(directory, 'resolv.conf'), 'nameserver 127.0.0.1\n');
  }

  /** Replaced at once: nobody reads half of it. */
  write(services: Iterable<Service>, slices: Iterable<Slice>): void {
    const hosts = `${[...this.#own, ...serviceHosts(this.#namespace, services, slices)].join('\n')}\n`;
    if (hosts === this.#written) return;
    this.#written = hosts;
    writeFileSync(join(this.directory, 'hosts.next'), hosts);
    renameSync(join(this.directory, 'hosts.next'), join(this.directory, 'hosts'));
  }
}
