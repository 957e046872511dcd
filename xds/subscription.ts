/** What one request changed in a subscription. */
export interface SubscriptionChange {
  /** Everything is wanted from now on (or is asked for once more). */
  readonly everything: boolean;
  /** Names that must be answered, even if the client was told before. */
  readonly asked: readonly string[];
  /** The wildcard ended: what is not named is no longer wanted. */
  readonly wildcardEnded: boolean;
  /** Names no longer wanted. */
  readonly left: readonly string[];
}

/**
 * What a client wants of one type.
 * The rules are those of https://www.envoyproxy.io/docs/envoy/latest/api-docs/xds_protocol under "How the client
 * specifies what resources to return".
 */
export class Subscription {
  readonly #names = new Set<string>();
  #wildcard = false;
  #started = false;

  /** Whether the client has said anything of this type. */
  get started(): boolean {
    return this.#started;
  }

  covers(name: string): boolean {
    return this.#wildcard || this.#names.has(name);
  }

  /** Whether the client asked for `name` itself: it then waits for an answer even if there is none such. */
  names(name: string): boolean {
    return this.#names.has(name);
  }

  /** Takes a request's changes; subscribing counts before unsubscribing. */
  change(subscribe: readonly string[], unsubscribe: readonly string[]): SubscriptionChange {
    // "If the first request of a type names nothing, that is a wildcard"; later such requests are mere ACKs.
    let everything = !this.#started && subscribe.length === 0;
    this.#started = true;
    this.#wildcard ||= everything;
    const asked: string[] = [];
    for (const name of subscribe) {
      if (name === '*') {
        this.#wildcard = true;
        everything = true;
      } else {
        this.#names.add(name);
        asked.push(name);
      }
    }
    return { everything, asked, ...this.#unsubscribe(unsubscribe, asked) };
  }

  #unsubscribe(names: readonly string[], asked: string[]): { wildcardEnded: boolean; left: string[] } {
    const wildcardEnded = this.#wildcard && names.includes('*');
    if (wildcardEnded) this.#wildcard = false;
    const left: string[] = [];
    for (const name of names) {
      if (name === '*') continue;
      this.#names.delete(name);
      // "If the wildcard still covers it, the server must answer, so that the client knows which it is."
      if (this.#wildcard) asked.push(name);
      else left.push(name);
    }
    return { wildcardEnded, left };
  }
}
