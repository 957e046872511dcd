import { isUtf8 } from 'node:buffer';
import { isRefusal, type Refusal, refuse } from '../../errors/refusal.ts';
import { Validation } from '../../proto/gen/fairlead/v1/table_pb.js';
import type { BodyFacts, Span } from './body-facts.ts';
import { type InferenceEndpoint, OUTPUT_LIMITS, type OutputLimit } from './endpoints.ts';
import {
  BACKSLASH,
  CLOSE_BRACE,
  COLON,
  COMMA,
  MALFORMED,
  MAX_NESTING_LEVELS,
  OPEN_BRACE,
  QUOTE,
  skipWhitespace,
  stringEnd,
  TOO_DEEP,
  TOO_MANY,
  valueEnd,
} from './json-scan.ts';
import { checkModelName, MAX_MODEL_NAME_BYTES, refuseLongModelName, refuseModelName } from './model-name.ts';
import { promptCount } from './prompt-count.ts';

/** Longest spelling of a name that can be short enough once decoded: six characters (\u0041) a byte, and the quotes. */
const MAX_MODEL_TOKEN_BYTES = MAX_MODEL_NAME_BYTES * 6 + 2;
/** Most members at the top level. Requests have under a hundred; 32 MiB of nothing else held us up for 0.4 s. */
const MAX_MEMBERS = 1_000;
/** Longest number that is converted: more digits than any token count has, or they are zeros. */
const MAX_NUMBER_BYTES = 64;
const TRUE_START = 0x74;
const FALSE_START = 0x66;
const NULL_START = 0x6e;

type Field = 'model' | 'prompt' | 'stream' | 'stream_options' | 'n' | 'best_of' | OutputLimit;

const FIELDS: ReadonlyMap<string, Field> = new Map(
  (['model', 'prompt', 'stream', 'stream_options', 'n', 'best_of', ...OUTPUT_LIMITS] as const).map(field => [
    field,
    field,
  ]),
);
const FIELDS_BY_LENGTH: readonly (readonly Field[])[] = Array.from({ length: 32 }, (_, length) =>
  [...FIELDS.values()].filter(field => field.length === length),
);
/** What there is to count answers by and to limit them, see InferenceEndpoint. */
type Answering = Pick<InferenceEndpoint, 'generatesText' | 'outputLimits' | 'takesPromptLists'>;

/** Longest spelling of a field's key, every character escaped, and the quotes. */
const maxFieldTokenBytes = Math.max(...[...FIELDS.keys()].map(field => field.length)) * 6 + 2;

/** Where the values of the fields lie that are read; start is -1 for those that the body does not have. */
class Members {
  readonly start: Record<Field, number> = {
    model: -1,
    prompt: -1,
    stream: -1,
    stream_options: -1,
    n: -1,
    best_of: -1,
    max_completion_tokens: -1,
    max_tokens: -1,
    max_output_tokens: -1,
  };
  readonly end: Record<Field, number> = { ...this.start };
  /** Offset after the opening brace. */
  contentStart = 0;
  isEmpty = true;
  isModelTwice = false;
  isModelMisspelt = false;
  /** Where reading stopped, when the text is malformed. */
  stoppedAt = 0;

  /** Remembers a value: of duplicate keys the last counts, as in Python, Go and JavaScript. */
  found(field: Field, start: number, end: number): void {
    if (field === 'model' && this.start.model >= 0) this.isModelTwice = true;
    this.start[field] = start;
    this.end[field] = end;
  }

  stop(at: number): typeof MALFORMED {
    this.stoppedAt = at;
    return MALFORMED;
  }
}

/**
 * Reads what routing needs from a JSON body, without parsing it.
 *
 * Always: the body is one object with nothing behind it; its top level is JSON to the letter, except for what stands
 * between the quotes of strings; strings and brackets below are closed, no deeper than `MAX_NESTING_LEVELS`; the model
 * is there at most once, however its key is escaped, and can be a name. A body that JSON.parse accepts is refused only
 * for depth, for the number of its members, or for the value or the spelling of a field that is read, and otherwise
 * read as JSON.parse would.
 * Basic: also valid UTF-8, `stream` true, false or null, `n` a whole number ≥ 1 or null, token limits whole
 * numbers ≥ 0 or null.
 * Strict: also the whole body passes JSON.parse.
 *
 * @returns facts, or `invalid_json`, `invalid_parameter`, `model_mismatch`
 */
export function readJsonBody(body: Uint8Array, validation: Validation, endpoint: Answering): BodyFacts | Refusal {
  const bytes = Buffer.from(body.buffer, body.byteOffset, body.byteLength);
  const isChecked = validation !== Validation.OFF;
  if (isChecked && !isUtf8(bytes)) return refuseJson('is not UTF-8. Send a JSON object as UTF-8.');
  const members = new Members();
  const notJson = findMembers(bytes, members) ?? (validation === Validation.STRICT ? parseWhole(bytes) : undefined);
  return notJson ?? readMembers(bytes, members, endpoint, isChecked);
}

function refuseJson(what: string): Refusal {
  return refuse('invalid_json', { message: `The request body ${what}` });
}

/** Windows tools put a byte order mark before UTF-8; Python's json.loads skips it in bytes. */
function textStart(bytes: Buffer): number {
  return bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf ? 3 : 0;
}

function findMembers(bytes: Buffer, members: Members): Refusal | undefined {
  const start = skipWhitespace(bytes, textStart(bytes));
  if (start === bytes.length) return refuseJson('is empty. Send a JSON object.');
  if (bytes[start] !== OPEN_BRACE) return refuse('invalid_json');
  members.contentStart = start + 1;
  const end = membersEnd(bytes, members);
  if (end === TOO_DEEP) return refuseJson(`is nested deeper than ${MAX_NESTING_LEVELS} levels.`);
  if (end === TOO_MANY) return refuseJson(`has more than ${MAX_MEMBERS} members at its top level.`);
  if (end < 0) return refuseJson(`is not JSON, or is cut off, at byte ${members.stoppedAt}. Send one JSON object.`);
  const rest = skipWhitespace(bytes, end);
  return rest === bytes.length
    ? undefined
    : refuseJson(`goes on after its JSON object, at byte ${rest}. Send one object.`);
}

/** Offset after the closing brace of the body's object, MALFORMED, TOO_DEEP or TOO_MANY. */
function membersEnd(bytes: Buffer, members: Members): number {
  let key = skipWhitespace(bytes, members.contentStart);
  if (bytes[key] === CLOSE_BRACE) return key + 1;
  members.isEmpty = false;
  for (let count = 1; count <= MAX_MEMBERS; count++) {
    const keyEnd = bytes[key] === QUOTE ? stringEnd(bytes, key) : MALFORMED;
    if (keyEnd < 0) return members.stop(key);
    const colon = skipWhitespace(bytes, keyEnd);
    if (bytes[colon] !== COLON) return members.stop(colon);
    const value = skipWhitespace(bytes, colon + 1);
    const end = valueEnd(bytes, value);
    if (end === TOO_DEEP) return TOO_DEEP;
    if (end < 0 || !noteMember(bytes, members, key, keyEnd, value, end)) return members.stop(end < 0 ? value : key);
    const next = skipWhitespace(bytes, end);
    if (bytes[next] === CLOSE_BRACE) return next + 1;
    if (bytes[next] !== COMMA) return members.stop(next);
    key = skipWhitespace(bytes, next + 1);
  }
  return TOO_MANY;
}

/** Notes a member that is of interest. False when its key is malformed. */
function noteMember(bytes: Buffer, members: Members, key: number, keyEnd: number, value: number, end: number): boolean {
  const plain = plainField(bytes, key + 1, keyEnd - 1);
  if (plain === undefined && (keyEnd - key > maxFieldTokenBytes || !mayMeanField(bytes, key, keyEnd))) return true;
  const name = plain ?? decodeString(bytes, key, keyEnd);
  if (name === undefined) return false;
  const field = plain ?? FIELDS.get(name);
  if (field !== undefined) members.found(field, value, end);
  else if (name.toLowerCase() === 'model') members.isModelMisspelt = true;
  return true;
}

/** The field whose key stands here to the letter. */
function plainField(bytes: Buffer, start: number, end: number): Field | undefined {
  for (const field of FIELDS_BY_LENGTH[end - start] ?? []) if (standsAt(bytes, start, field)) return field;
  return undefined;
}

function standsAt(bytes: Buffer, start: number, text: string): boolean {
  for (let i = 0; i < text.length; i++) if (bytes[start + i] !== text.charCodeAt(i)) return false;
  return true;
}

/** Whether another spelling of a field may stand here: a key with escapes, or one like "Model". */
function mayMeanField(bytes: Buffer, key: number, keyEnd: number): boolean {
  const isLikeModel = keyEnd - key === '"model"'.length && (bytes[key + 1] === 0x6d || bytes[key + 1] === 0x4d);
  if (isLikeModel) return true;
  for (let i = key; i < keyEnd; i++) if (bytes[i] === BACKSLASH) return true;
  return false;
}

/** The value of a JSON string token, undefined when it is malformed or not UTF-8. */
function decodeString(bytes: Buffer, start: number, end: number): string | undefined {
  if (isPlain(bytes, start + 1, end - 1)) return bytes.toString('latin1', start + 1, end - 1);
  if (!isUtf8(bytes.subarray(start, end))) return undefined;
  try {
    return JSON.parse(bytes.toString('utf8', start, end));
  } catch {
    return undefined;
  }
}

/** Whether these bytes are ASCII without escapes, and so mean themselves. */
function isPlain(bytes: Buffer, start: number, end: number): boolean {
  for (let i = start; i < end; i++) {
    const byte = bytes[i] ?? 0;
    if (byte > 0x7e || byte === BACKSLASH) return false;
  }
  return true;
}

function parseWhole(bytes: Buffer): Refusal | undefined {
  try {
    JSON.parse(bytes.toString('utf8', textStart(bytes)));
    return undefined;
  } catch {
    // The parser's message is not passed on: it quotes the body.
    return refuseJson('is not valid JSON. Check strings for raw line breaks, and nested values.');
  }
}

function readMembers(bytes: Buffer, members: Members, endpoint: Answering, isChecked: boolean): BodyFacts | Refusal {
  const model = readModel(bytes, members);
  if (model !== undefined && isRefusal(model)) return model;
  const stream = readStream(bytes, members);
  if (stream === undefined && isChecked) return refuseValue('stream', 'must be true or false.');
  let maxOutputTokens: number | undefined;
  for (const field of OUTPUT_LIMITS) {
    const limit = readCount(bytes, members.start[field], members.end[field]);
    if (limit === 'wrong' && isChecked) return refuseValue(field, 'must be a whole number of tokens, 0 or more.');
    const counts = limit !== 'wrong' && limit !== undefined && endpoint.outputLimits.includes(field);
    if (counts && limit > (maxOutputTokens ?? 0)) maxOutputTokens = limit;
  }
  const n = readCount(bytes, members.start.n, members.end.n) ?? 1;
  const isAnswerCount = n !== 'wrong' && n > 0;
  if (!isAnswerCount && isChecked) return refuseValue('n', 'must be a whole number of answers, 1 or more.');
  const insertion = { kind: 'json', at: members.contentStart, comma: !members.isEmpty } as const;
  return {
    model,
    stream: stream ?? false,
    maxOutputTokens,
    answers: countAnswers(bytes, members, endpoint, isAnswerCount ? n : 1),
    streamOptions: readStreamOptions(members),
    file: undefined,
    insertion,
  };
}

/** Answers that are generated, of which `n` to each prompt are given. */
function countAnswers(
  bytes: Buffer,
  { start, end }: Members,
  { generatesText, takesPromptLists }: Answering,
  n: number,
): number {
  if (!generatesText) return n;
  const bestOf = readCount(bytes, start.best_of, end.best_of);
  const answers = typeof bestOf === 'number' ? Math.max(n, bestOf) : n;
  const prompts = takesPromptLists ? promptCount(bytes, start.prompt, end.prompt) : 1;
  return Math.min(answers * prompts, Number.MAX_SAFE_INTEGER);
}

function refuseValue(param: string, what: string): Refusal {
  return refuse('invalid_parameter', { message: `"${param}" ${what}`, param });
}

function readModel(bytes: Buffer, members: Members): BodyFacts['model'] | Refusal {
  if (members.isModelTwice) {
    return refuse('model_mismatch', { message: 'The body has "model" twice. Name the model once.', param: 'model' });
  }
  if (members.isModelMisspelt) {
    // Go's encoding/json (ollama) takes "Model" for "model", other parsers do not: they would run different models.
    return refuse('invalid_parameter', { message: 'Write the key "model" in lower case, once.', param: 'model' });
  }
  const start = members.start.model;
  const end = members.end.model;
  if (start < 0) return undefined;
  if (bytes[start] !== QUOTE) return refuseModelName('must be a string.');
  if (end - start > MAX_MODEL_TOKEN_BYTES) return refuseLongModelName();
  const value = decodeString(bytes, start, end);
  if (value === undefined) return refuseModelName('has raw control characters, wrong escapes, or is not UTF-8.');
  return checkModelName(value) ?? { value, start, end };
}

/** Undefined when the value is neither true nor false nor null. */
function readStream(bytes: Buffer, members: Members): boolean | undefined {
  const start = members.start.stream;
  const first = bytes[start];
  // valueEnd() has seen to it that what starts like a literal is one.
  if (first === TRUE_START) return true;
  return start < 0 || first === FALSE_START || first === NULL_START ? false : undefined;
}

function readStreamOptions({ start, end }: Members): Span | undefined {
  return start.stream_options < 0 ? undefined : { start: start.stream_options, end: end.stream_options };
}

function readCount(bytes: Buffer, start: number, end: number): number | undefined | 'wrong' {
  if (start < 0 || bytes[start] === NULL_START) return undefined;
  if (bytes[start] === QUOTE || end - start > MAX_NUMBER_BYTES) return 'wrong';
  const limit = Number(bytes.toString('latin1', start, end));
  return Number.isSafeInteger(limit) && limit >= 0 ? limit : 'wrong';
}
