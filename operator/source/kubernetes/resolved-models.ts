import type { ClusterState } from '../cluster-state.ts';
import {
  HostAddresses,
  hostNames,
  LOOKUP_INTERVAL_MS,
  LOOKUP_PATIENCE_MS,
  type ResolveHost,
} from '../host-addresses.ts';

type Models = ClusterState['modelDeployments'];

/**
 * Holds changes of ModelDeployments back until the host names that one of them brings are looked up, for as long as a
 * lookup may take; pods come and go meanwhile.
 */
export class ResolvedModels {
  readonly #hosts: HostAddresses;
  readonly #changed: () => void;
  readonly #lookups: NodeJS.Timeout;
  #models: Models | undefined;
  #names: ReadonlySet<string> = new Set();
  #looking = false;

  /** `changed` is called when reading again gives something else. */
  constructor(resolve: ResolveHost, changed: () => void) {
    this.#changed = changed;
    this.#hosts = new HostAddresses(resolve, changed);
    this.#lookups = setInterval(() => this.#hosts.refresh(), LOOKUP_INTERVAL_MS);
  }

  /** The latest models whose host names were looked up; undefined before the first are. */
  read(latest: Models): Pick<ClusterState, 'modelDeployments' | 'hosts'> | undefined {
    if (latest !== this.#models && !this.#looking) this.#follow(latest);
    return this.#models && { modelDeployments: this.#models, hosts: this.#hosts.addresses };
  }

  /** No timer is left behind. */
  stop(): void {
    clearInterval(this.#lookups);
  }

  #follow(latest: Models): void {
    const names = hostNames({ modelDeployments: latest });
    if (names.isSubsetOf(this.#names)) {
      this.#admit(latest, names);
      return;
    }
    this.#looking = true;
    void this.#hosts.follow(this.#names.union(names), LOOKUP_PATIENCE_MS).then(() => {
      this.#looking = false;
      this.#admit(latest, names);
      this.#changed();
    });
  }

  #admit(models: Models, names: ReadonlySet<string>): void {
    this.#models = models;
    this.#names = names;
    void this.#hosts.follow(names, 0);
  }
}
