/** A resource that a client refused and still lacks, in the client's words. */
export interface RefusedResource {
  readonly typeUrl: string;
  /** Empty where a response was refused that brought no resource. */
  readonly name: string;
  readonly message: string;
}

/** What one client has refused and not accepted, or been rid of, since. */
export class RefusedResources {
  readonly #refused = new Map<string, RefusedResource>();

  /** Notes a response with `names` that was refused with `message`; returns what it is blamed on. */
  refuse(typeUrl: string, names: readonly string[], message: string): readonly RefusedResource[] {
    // A refused response that brought nothing leaves nothing to remember; its words are still news.
    if (names.length === 0) return [{ typeUrl, name: '', message }];
    const blamed = blame(names, message);
    this.settle(
      typeUrl,
      names.filter(name => !blamed.includes(name)),
    );
    const refused = blamed.map(name => ({ typeUrl, name, message }));
    for (const resource of refused) this.#refused.set(key(typeUrl, resource.name), resource);
    return refused;
  }

  /** Notes that the client accepted `names`, or that it was told that they are gone. */
  settle(typeUrl: string, names: readonly string[]): void {
    for (const name of names) this.#refused.delete(key(typeUrl, name));
  }

  list(): readonly RefusedResource[] {
    return [...this.#refused.values()];
  }
}

/** A refused response may have been accepted in part: the words tell, when they quote names; else all are suspect. */
function blame(names: readonly string[], message: string): readonly string[] {
  const named = names.filter(name => quotes(message, name));
  return named.length > 0 ? named : names;
}

const NAME_CHARACTER = /[\w./-]/;

function quotes(message: string, name: string): boolean {
  for (let at = message.indexOf(name); at >= 0; at = message.indexOf(name, at + 1)) {
    const before = message[at - 1] ?? ' ';
    const after = message[at + name.length] ?? ' ';
    if (!NAME_CHARACTER.test(before) && !NAME_CHARACTER.test(after)) return true;
  }
  return false;
}

function key(typeUrl: string, name: string): string {
  return `${typeUrl} ${name}`;
}
