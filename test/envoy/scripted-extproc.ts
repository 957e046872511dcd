import { decodeProcessingRequest } from '../../extproc/server/decode.ts';
import { CONTINUE, encodeImmediate, encodeRouting } from '../../extproc/server/encode.ts';
import { serveGrpcJs } from '../../extproc/server/grpc-js-transport.ts';
import type { RequestHeaders } from '../../extproc/server/request-headers.ts';
import type { ExchangeHandler, ExchangeStream, Transport } from '../../extproc/server/transport.ts';
import {
  ADMITTED,
  CLUSTER_HEADER,
  EXCHANGE_NAMESPACE,
  MAX_RETRIES_HEADER,
  PICK_KEY,
  PICK_NAMESPACE,
  ROUTE_HEADER,
} from '../../proto/exchange-names.ts';

/** Where the next requests go, and how. */
export interface Script {
  /** Resource name of the model. */
  readonly cluster: string;
  readonly profile: string;
  /** Addresses, in order of preference. */
  readonly candidates: readonly string[];
  /** Absent: as many as there are further candidates. */
  readonly retries?: number;
  /** Absent: the body as it came. */
  readonly body?: (body: Uint8Array) => Uint8Array;
  readonly metadata?: Readonly<Record<string, string>>;
}

/** An ext_proc service that does what the test says, and nothing by itself. */
export class ScriptedExtproc {
  /** What to do with the next requests; undefined: let them pass unmarked. */
  script: Script | undefined;
  /** Refuse the next requests. */
  refusal: Parameters<typeof encodeImmediate>[0] | undefined;
  /** Headers of the last request, as Envoy showed them. */
  shown: RequestHeaders | undefined;
  /** Claims of its token, by issuer. */
  jwt: Readonly<Record<string, unknown>> | undefined;
  #transport: Transport | undefined;

  async listen(path: string): Promise<void> {
    this.#transport = await serveGrpcJs({
      path,
      openExchange: stream => this.#open(stream),
      accessLog: { entries: () => {} },
      maxMessageBytes: 64 * 2 ** 20,
    });
  }

  async close(): Promise<void> {
    await this.#transport?.drain();
  }

  #open(stream: ExchangeStream): ExchangeHandler {
    return {
      message: frame => {
        const message = decodeProcessingRequest(frame);
        if (message.kind === 'response_trailers') return stream.send(CONTINUE.trailers);
        if (message.kind === 'other') return stream.end();
        if (message.kind === 'request_headers') {
          this.shown = message.headers;
          this.jwt = message.jwt;
          return stream.send(CONTINUE.headers);
        }
        stream.send(this.#answer(message.body));
      },
      closed() {},
    };
  }

  #answer(received: Uint8Array): Uint8Array {
    const { script, refusal } = this;
    if (refusal) return encodeImmediate(refusal);
    if (!script) return encodeRouting({ setHeaders: {}, metadata: {} });
    const setHeaders = {
      [CLUSTER_HEADER]: script.cluster,
      [ROUTE_HEADER]: script.profile,
      [MAX_RETRIES_HEADER]: String(script.retries ?? script.candidates.length - 1),
    };
    const body = script.body?.(received);
    return encodeRouting({
      setHeaders,
      ...(body && { body }),
      metadata: {
        [PICK_NAMESPACE]: { [PICK_KEY]: script.candidates.join(',') },
        [EXCHANGE_NAMESPACE]: { admitted: ADMITTED, model: 'llama', backend: 'main', ...script.metadata },
      },
    });
  }
}
