import { eachField, spanTag, varintTag, type WireReader } from '../server/wire-reader.ts';

/**
 * Tokens as the answer itself reported them. Undefined: not found there. Only `complete` usage can be trusted:
 * `partial` and `failed` occur with answers that Envoy could not read to their end.
 */
export interface TokenUsage {
  readonly status: 'complete' | 'partial' | 'failed';
  /** Cached ones included. */
  readonly promptTokens: number | undefined;
  /** Those of the prompt that the engine had cached. */
  readonly cachedPromptTokens: number | undefined;
  readonly completionTokens: number | undefined;
}

interface Draft {
  status: TokenUsage['status'];
  promptTokens: number | undefined;
  cachedPromptTokens: number | undefined;
  completionTokens: number | undefined;
}

// envoy.data.ai.v3.TokenUsage
const INPUT_TOKENS = spanTag(3);
const OUTPUT_TOKENS = spanTag(4);
const INPUT_TOKEN_DETAILS = spanTag(6);
const EXTRACTION_STATUS = varintTag(9);
// envoy.data.ai.v3.InputTokenDetails
const CACHED_TOKENS = spanTag(1);
const STATUSES: readonly TokenUsage['status'][] = ['failed', 'complete', 'partial', 'failed'];

/** Reads an envoy.data.ai.v3.TokenUsage. */
export function readTokenUsage(message: WireReader): TokenUsage {
  const draft: Draft = {
    status: 'failed',
    promptTokens: undefined,
    cachedPromptTokens: undefined,
    completionTokens: undefined,
  };
  return eachField(message, draft, (tag, message, usage) => {
    if (tag === INPUT_TOKENS) usage.promptTokens = readWrapped(message.inner());
    else if (tag === OUTPUT_TOKENS) usage.completionTokens = readWrapped(message.inner());
    else if (tag === INPUT_TOKEN_DETAILS) eachField(message.inner(), usage, readInputDetail);
    else if (tag === EXTRACTION_STATUS) usage.status = STATUSES[message.varint()] ?? 'failed';
    else return false;
    return true;
  });
}

function readInputDetail(tag: number, message: WireReader, usage: Draft): boolean {
  if (tag !== CACHED_TOKENS) return false;
  usage.cachedPromptTokens = readWrapped(message.inner());
  return true;
}

/** A google.protobuf.UInt32Value or UInt64Value. */
export function readWrapped(message: WireReader): number {
  return eachField(message, { value: 0 }, readWrappedField).value;
}

function readWrappedField(tag: number, message: WireReader, target: { value: number }): boolean {
  if (tag !== varintTag(1)) return false;
  target.value = message.varint();
  return true;
}
