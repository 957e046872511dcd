/** One xDS resource. What its body means is the caller's business; this room compares versions and moves bytes. */
export interface Resource {
  /** "type.googleapis.com/<message name>". */
  readonly typeUrl: string;
  readonly name: string;
  /** A hash of the body: equal versions mean equal bodies, also after a restart of the server. */
  readonly version: string;
  /** The message, encoded. */
  readonly body: Uint8Array;
}

export interface ResourceKey {
  readonly typeUrl: string;
  readonly name: string;
}

/**
 * A resource that there is to be, of which the server lacks something yet: a client that has it keeps it, and no client
 * is told of it.
 */
export interface WithheldResource extends ResourceKey {
  /** Who has another version is told that the resource is gone; undefined: whichever a client has may stay. */
  readonly version: string | undefined;
}

/** One update of a server's state, visible to clients as a whole. */
export interface ResourceChange {
  /** The caller's name for the state after this change; travels as system_version_info. */
  readonly systemVersion: string;
  readonly upserts: readonly Resource[];
  readonly removals: readonly ResourceKey[];
  readonly withheld?: readonly WithheldResource[];
}
