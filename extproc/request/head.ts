import { isRefusal, type Refusal, refuse } from '../../errors/refusal.ts';
import type { Gateway } from '../../proto/gen/fairlead/v1/table_pb.js';
import { checkContent } from './content-type.ts';
import type { InferenceEndpoint } from './endpoints.ts';
import { agree, checkModelName } from './model-name.ts';
import type { Target } from './target.ts';

/** The headers of a request by their names in lower case. */
export interface HeaderLookup {
  /** The value; the values joined by commas, where the header was sent several times. */
  get(name: string): string | undefined;
  /** One value for each time that the header was sent. */
  all(name: string): readonly string[];
}

/** What the head of an inference request says, before any of its body has come. */
export interface InferenceHead {
  readonly endpoint: InferenceEndpoint;
  /** Path and query for upstream. */
  readonly path: string;
  /** As the client sent it; multipart bodies are read by it. */
  readonly contentType: string;
  /** What to tell upstream instead, where the client's own would be refused there. */
  readonly upstreamType: string | undefined;
  /** The model named by path or header. */
  readonly model: string | undefined;
  /** The value of `routing-strategy`. */
  readonly strategy: string | undefined;
  /** The client asks how its endpoint was chosen. */
  readonly explain: boolean;
}

/**
 * Reads the head of an inference request and refuses what needs no body to be refused, so that not a byte of it is
 * buffered for nothing.
 *
 * @param resolve the key of the model that has this name, if any
 */
export function readHead(
  target: Extract<Target, { kind: 'inference' }>,
  headers: HeaderLookup,
  gateway: Gateway,
  resolve: (name: string) => string | undefined,
): InferenceHead | Refusal {
  const contentType = headers.get('content-type');
  const content = checkContent(target.endpoint.content, contentType, headers.get('content-encoding'));
  if (isRefusal(content)) return content;
  const tooLarge = checkBodyLength(Number(headers.get('content-length') ?? 0), gateway.maxBodyBytes);
  if (tooLarge) return tooLarge;
  const model = headModel(target.model, headers, gateway.modelHeaders, resolve);
  if (typeof model === 'object') return model;
  return {
    endpoint: target.endpoint,
    path: target.path,
    contentType: contentType ?? '',
    upstreamType: content.upstreamType,
    model,
    strategy: headers.get('routing-strategy'),
    explain: headers.get('x-fairlead-explain') === '1',
  };
}

/** Holds the client to the limit: by its content-length, and again by the body of one that sent none. */
export function checkBodyLength(bodyBytes: number, maxBodyBytes: number): Refusal | undefined {
  if (bodyBytes <= maxBodyBytes) return undefined;
  return refuse('request_too_large', {
    message: `The request body has ${bodyBytes} bytes; the gateway accepts ${maxBodyBytes}.`,
  });
}

/** The model that path and headers agree on. */
function headModel(
  pathModel: string | undefined,
  headers: HeaderLookup,
  modelHeaders: readonly string[],
  resolve: (name: string) => string | undefined,
): string | undefined | Refusal {
  let model = pathModel;
  for (const name of modelHeaders) {
    for (const value of headers.all(name)) {
      if (value === '') continue;
      const agreed = checkModelName(value) ?? agree(model, value, resolve);
      if (typeof agreed === 'object') return agreed;
      model = agreed;
    }
  }
  return model;
}
