import { isDeepStrictEqual } from 'node:util';
import type { InferenceGatewaySpec } from '../../crds/inference-gateway.ts';
import { type ClosedGateway, type Declared, type Origin, objectKey } from './cluster-state.ts';

/** An InferenceGateway that cannot be read, and never could be. */
export interface RefusedGateway {
  /** "<namespace>/<name>"; empty where not even that can be read. */
  readonly key: string;
  /** Milliseconds since the epoch; Infinity for one that any other goes before. */
  readonly createdAtMs: number;
  readonly origin: Origin;
}

/**
 * Remembers who last decided who may call, so that no mistake and no deletion opens a gateway that asked: only another
 * gateway that says so does. What was never declared is open.
 */
export class GatewayMemory {
  /** The one that is missed when none is declared: the last, if it did not let everybody call. */
  #missed: ClosedGateway | undefined;
  #last: ClosedGateway | undefined;

  /** Why nobody may call; undefined when a gateway says who may, or none ever did. The same object while it says the same. */
  read(
    gateways: readonly Declared<InferenceGatewaySpec>[],
    refused: readonly RefusedGateway[],
  ): ClosedGateway | undefined {
    const now = this.#read(gateways, refused);
    if (!isDeepStrictEqual(now, this.#last)) this.#last = now;
    return this.#last;
  }

  #read(
    gateways: readonly Declared<InferenceGatewaySpec>[],
    refused: readonly RefusedGateway[],
  ): ClosedGateway | undefined {
    const declared = oldestGateway(gateways);
    const [broken] = refused.toSorted(olderFirst);
    if (broken !== undefined && (declared === undefined || broken.createdAtMs <= declared.createdAtMs)) {
      const { key, origin } = broken;
      this.#missed = { why: 'gone', key, origin };
      return { why: 'refused', key, origin };
    }
    if (declared === undefined) return this.#missed;
    const { origin, spec } = declared;
    const isOpen = spec.authentication.mode === 'none';
    this.#missed = isOpen ? undefined : { why: 'gone', key: objectKey(declared), origin };
    return undefined;
  }
}

/** The gateway that is served: the oldest; undefined where none is declared. */
export function oldestGateway(
  gateways: readonly Declared<InferenceGatewaySpec>[],
): Declared<InferenceGatewaySpec> | undefined {
  const aged = gateways.map(gateway => ({ key: objectKey(gateway), createdAtMs: gateway.createdAtMs, gateway }));
  return aged.sort(olderFirst)[0]?.gateway;
}

type Aged = Pick<RefusedGateway, 'key' | 'createdAtMs'>;

function olderFirst(one: Aged, other: Aged): number {
  return one.createdAtMs - other.createdAtMs || (one.key < other.key ? -1 : 1);
}
