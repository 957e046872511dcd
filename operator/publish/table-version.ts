import { createHash } from 'node:crypto';

/** Version of a resource: the same bytes have the same version in every process. */
export function contentVersion(body: Uint8Array): string {
  return createHash('sha256').update(body).digest('hex').slice(0, 16);
}

/**
 * A hash of a set of resources that follows changes at the cost of the change: XOR of the members' hashes. It need
 * not withstand forgery, only tell states apart for people; the sequence number before it makes versions unique.
 */
export class SetHash {
  #bits = 0;

  /** Puts a member in, or takes it out. */
  toggle(typeUrl: string, name: string, version: string): void {
    const digest = createHash('sha256').update(`${typeUrl}\n${name}\n${version}`).digest();
    this.#bits = (this.#bits ^ digest.readUInt32BE(0)) >>> 0;
  }

  /** Eight hexadecimal digits. */
  get hex(): string {
    return this.#bits.toString(16).padStart(8, '0');
  }
}
