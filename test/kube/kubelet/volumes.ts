import { chmodSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { fieldValue, type PodFacts, resourceValue } from './downward.ts';
import { MissingObject, type ObjectReader } from './object-reader.ts';
import type { ProjectedSource, Volume } from './pod-object.ts';
import { type ProjectedFile, writeProjection } from './projection.ts';

const DEFAULT_MODE = 0o644;
/** A token is renewed when this part of its life is over, as by the real kubelet. */
const RENEW_AFTER = 0.8;
const DEFAULT_TOKEN_SECONDS = 3_600;

/** The volumes of a pod, as directories; those with files from the API server follow what is there. */
export class Volumes {
  readonly #directory: string;
  readonly #volumes: readonly Volume[];
  readonly #reader: ObjectReader;
  readonly #tokens = new Map<string, { readonly token: string; readonly renewAtMs: number }>();

  constructor(directory: string, volumes: readonly Volume[], reader: ObjectReader) {
    this.#directory = directory;
    this.#volumes = volumes;
    this.#reader = reader;
    for (const { name } of volumes) {
      mkdirSync(this.path(name), { recursive: true });
      chmodSync(this.path(name), 0o777);
    }
  }

  path(volume: string): string {
    return join(this.#directory, volume);
  }

  /** Whether containers may not write to it, whatever they say. */
  isReadOnly(volume: string): boolean {
    return !this.#volumes.find(({ name }) => name === volume)?.emptyDir;
  }

  /** "configmaps/name", "secrets/name": what the volumes are made of. */
  get references(): ReadonlySet<string> {
    const sources = this.#volumes.flatMap(volume => [volume, ...(volume.projected?.sources ?? [])]);
    return new Set(
      sources.flatMap(({ configMap, secret }) => [
        ...(configMap ? [`configmaps/${configMap.name}`] : []),
        ...(secret ? [`secrets/${secret.secretName ?? secret.name}`] : []),
      ]),
    );
  }

  /** Writes what is new. Gives when to do so again, milliseconds from now. @throws MissingObject */
  async project(facts: PodFacts): Promise<number> {
    for (const volume of this.#volumes) {
      if (volume.emptyDir) continue;
      const files = new Map<string, ProjectedFile>();
      const mode = volume.projected?.defaultMode ?? DEFAULT_MODE;
      const sources = volume.projected?.sources ?? [volume];
      for (const source of sources) await this.#read(facts, volume.name, source, mode, files);
      writeProjection(this.path(volume.name), files);
    }
    const renewals = [...this.#tokens.values()].map(({ renewAtMs }) => renewAtMs - Date.now());
    return Math.max(1_000, Math.min(60_000, ...renewals));
  }

  async #read(
    facts: PodFacts,
    volume: string,
    source: ProjectedSource,
    defaultMode: number,
    files: Map<string, ProjectedFile>,
  ): Promise<void> {
    const { configMap, secret, downwardAPI, serviceAccountToken } = source;
    const selection = configMap ?? secret;
    const mode = selection?.defaultMode ?? downwardAPI?.defaultMode ?? defaultMode;
    if (selection !== undefined) {
      const name = secret?.secretName ?? selection.name ?? '';
      const reference = { name, optional: selection.optional ?? false };
      const kind = configMap ? 'configmaps' : 'secrets';
      const data = await this.#reader.data(kind, facts.pod.metadata.namespace, reference);
      const items = selection.items ?? [...(data ?? [])].map(([key]) => ({ key, path: key }));
      for (const item of items) {
        const content = data?.get(item.key);
        if (content) files.set(item.path, { content, mode: ('mode' in item ? item.mode : undefined) ?? mode });
        else if (!reference.optional) throw new MissingObject(`${kind} "${name}" has no key "${item.key}"`);
      }
    }
    for (const { path, fieldRef, resourceFieldRef, ...item } of downwardAPI?.items ?? []) {
      const container = { name: '', image: '' };
      const text = fieldRef
        ? fieldValue(facts, fieldRef)
        : resourceFieldRef && resourceValue(facts, container, resourceFieldRef);
      files.set(path, { content: Buffer.from(text ?? ''), mode: item.mode ?? mode });
    }
    if (serviceAccountToken) {
      const { path, audience, expirationSeconds = DEFAULT_TOKEN_SECONDS } = serviceAccountToken;
      const token = await this.#token(`${volume}/${path}`, facts, audience, expirationSeconds);
      files.set(path, { content: Buffer.from(token), mode });
    }
  }

  async #token(key: string, { pod }: PodFacts, audience: string | undefined, seconds: number): Promise<string> {
    const known = this.#tokens.get(key);
    if (known && Date.now() < known.renewAtMs) return known.token;
    const { namespace, name, uid } = pod.metadata;
    const owner = { namespace, name, uid, account: pod.spec.serviceAccountName };
    const { token, livesMs } = await this.#reader.token(owner, audience, seconds);
    this.#tokens.set(key, { token, renewAtMs: Date.now() + livesMs * RENEW_AFTER });
    return token;
  }
}
