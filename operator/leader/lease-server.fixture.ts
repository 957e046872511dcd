import type { ApiRequest, Reply } from '../api/api-connection.ts';

/** What an API server does with one Lease: optimistic locking by resourceVersion, nothing else. */
export class LeaseServer {
  object: { metadata: Readonly<Record<string, unknown>>; spec: Readonly<Record<string, unknown>> } | undefined;
  #version = 0;

  handle({ method, body }: Pick<ApiRequest, 'method' | 'body'>): Reply {
    const { object } = this;
    const written = body as NonNullable<typeof object>;
    if (method === 'POST') return object === undefined ? this.#store(written) : failure(409);
    if (object === undefined) return failure(404);
    if (method === 'GET') return { object };
    return written.metadata.resourceVersion === object.metadata.resourceVersion ? this.#store(written) : failure(409);
  }

  /** As a person with kubectl does. */
  edit(spec: Readonly<Record<string, unknown>>): void {
    this.#store({ metadata: this.object?.metadata ?? {}, spec: { ...this.object?.spec, ...spec } });
  }

  #store({ metadata, spec }: NonNullable<LeaseServer['object']>): Reply {
    this.#version += 1;
    this.object = { metadata: { ...metadata, resourceVersion: String(this.#version) }, spec };
    return { object: this.object };
  }
}

function failure(code: number): Reply {
  return { failure: { code, message: `told ${code}` } };
}
