import { DateTime } from 'luxon';
import { stringify } from 'yaml';
import { API_VERSION } from '../crds/metadata.ts';
import { labelName, objectName } from '../crds/object-name.ts';
import { checkApiKey, digestOf, MAX_API_KEY_BYTES, newApiKey } from '../extproc/identity/api-key.ts';

const DONE = 0;
const FAILED = 1;
const MISUSED = 2;

/** Of a digest, what tells keys without a name apart. */
const NAME_DIGITS = 8;
/** Standard input is not read any further: a key has ended long before. */
const MAX_INPUT_BYTES = 4_096;
const UNIT_MS: Readonly<Record<string, number>> = { h: 3_600_000, d: 86_400_000, w: 7 * 86_400_000 };

interface Output {
  readonly out: { write(text: string): unknown };
  /** Where it is told what is wrong. */
  readonly err: { write(text: string): unknown };
}

interface NewKeyOptions extends Output {
  /** "name", or "namespace/name". */
  readonly consumer?: string;
  /** What people call the key. */
  readonly name?: string;
  /** For how long it is good ("90d"), or until when ("2027-01-31"; UTC, where it does not say otherwise). */
  readonly expires?: string;
  /** In YAML, what the Consumer is to have alone: the key itself goes to where people read, not into the file. */
  readonly output: 'text' | 'json' | 'yaml';
  /** 32 bytes that nobody can guess. */
  readonly random: Uint8Array;
  /** Milliseconds since the epoch. */
  readonly nowMs: number;
}

interface NewKey {
  readonly key: string;
  readonly sha256: string;
  readonly name: string;
  readonly expires: string | undefined;
  readonly consumer: string | undefined;
}

/** Makes an API key and writes it, this once, with what a Consumer needs to have of it. Gives the exit code. */
export function printNewKey(options: NewKeyOptions): number {
  const { consumer, expires, output, random, nowMs, out, err } = options;
  const expiry = expires === undefined ? undefined : expiryOf(expires, nowMs);
  const problem = problemOf(options, expiry);
  if (problem !== undefined) {
    err.write(`fairlead: ${problem}\n`);
    return MISUSED;
  }
  const key = newApiKey(random);
  const sha256 = digestOf(key);
  const name = options.name ?? `key-${sha256.slice(0, NAME_DIGITS)}`;
  const made: NewKey = {
    key,
    sha256,
    name,
    expires: expiry?.toISO({ suppressMilliseconds: true }) ?? undefined,
    consumer,
  };
  if (output === 'yaml') err.write(`API key   ${key}\nIt is shown this once and kept nowhere.\n`);
  out.write(textOf(made, output));
  return DONE;
}

function textOf(made: NewKey, output: NewKeyOptions['output']): string {
  if (output === 'json') return `${JSON.stringify(made, null, 2)}\n`;
  return output === 'yaml' ? partOf(made) : describe(made);
}

function problemOf({ consumer, name, nowMs }: NewKeyOptions, expiry: DateTime | undefined): string | undefined {
  if (consumer !== undefined && !isObject(consumer)) {
    return '--consumer must be the name of a Consumer, such as alice or team-a/alice';
  }
  if (name !== undefined && !labelName().safeParse(name).success) {
    return '--name must be of lower-case letters, digits and dashes, at most 63';
  }
  if (expiry === undefined) return undefined;
  if (!expiry.isValid)
    return '--expires must be a time from now, such as 12h, 90d or 8w, or a date, such as 2027-01-31';
  return expiry.toMillis() <= nowMs ? '--expires is not in the future' : undefined;
}

function isObject(text: string): boolean {
  const [namespace, name] = namespaced(text);
  return objectName().safeParse(name).success && (namespace === undefined || labelName().safeParse(namespace).success);
}

function namespaced(text: string): [namespace: string | undefined, name: string] {
  const slash = text.indexOf('/');
  return slash < 0 ? [undefined, text] : [text.slice(0, slash), text.slice(slash + 1)];
}

function expiryOf(text: string, nowMs: number): DateTime {
  const [, count, unit = ''] = /^([1-9]\d{0,4})([hdw])$/.exec(text) ?? [];
  if (count !== undefined) {
    const atMs = nowMs + Number(count) * (UNIT_MS[unit] ?? 0);
    return DateTime.fromMillis(atMs, { zone: 'utc' }).startOf('second');
  }
  const isDate = /^\d{4}-\d{2}-\d{2}(T.*)?$/.test(text);
  return isDate ? DateTime.fromISO(text, { zone: 'utc' }) : DateTime.invalid('no date');
}

/** The Consumer where it was named, else what it is to have. */
function partOf({ sha256, name, expires, consumer }: NewKey): string {
  const entry = { name, sha256, ...(expires !== undefined && { expires }) };
  return yaml(consumer === undefined ? { apiKeys: [entry] } : consumerOf(consumer, entry));
}

function describe(made: NewKey): string {
  const { key, sha256, expires, consumer } = made;
  return [
    `API key   ${key}`,
    `SHA-256   ${sha256}`,
    `Expires   ${expires ?? 'never'}`,
    '',
    'The key is shown this once and kept nowhere. Whoever has it sends it as authorization: Bearer KEY, or as',
    'x-api-key: KEY. The gateway is told the SHA-256 only:',
    '',
    partOf(made),
    consumer === undefined
      ? "This goes into the spec of the key's Consumer, beside the keys that are there."
      : 'Where there is this Consumer already, add the entry to its apiKeys, beside the keys that are there.',
    '',
  ].join('\n');
}

function consumerOf(consumer: string, entry: object): object {
  const [namespace, name] = namespaced(consumer);
  const metadata = { name, ...(namespace !== undefined && { namespace }) };
  return { apiVersion: API_VERSION, kind: 'Consumer', metadata, spec: { apiKeys: [entry] } };
}

/** Quoted so that readers of YAML 1.1 too, as kubectl is one, see texts where times and numbers could be meant. */
function yaml(value: object): string {
  return stringify(value, { version: '1.1' });
}

interface DigestOptions extends Output {
  readonly input: AsyncIterable<Uint8Array> & { readonly isTTY?: boolean };
}

/** Writes the SHA-256 of the API key that standard input has. Gives the exit code. */
export async function printDigest({ input, out, err }: DigestOptions): Promise<number> {
  if (input.isTTY) err.write('Paste the key, then press Enter.\n');
  const key = (await readInput(input)).replace(/\r?\n$/, '');
  const problem = keyProblem(key);
  if (problem !== undefined) {
    err.write(`fairlead: ${problem}\n`);
    return FAILED;
  }
  out.write(`${digestOf(key)}\n`);
  return DONE;
}

async function readInput(input: DigestOptions['input']): Promise<string> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of input) {
    chunks.push(chunk);
    bytes += chunk.length;
    if (bytes > MAX_INPUT_BYTES || (input.isTTY && chunk.includes(0x0a))) break;
  }
  return Buffer.concat(chunks).toString();
}

function keyProblem(key: string): string | undefined {
  if (key === '') return 'there is no key on standard input';
  if (/[\s\p{Cc}]/u.test(key)) return 'a key is one line without spaces; standard input has more';
  if (Buffer.byteLength(key) > MAX_API_KEY_BYTES) return `a key has at most ${MAX_API_KEY_BYTES} bytes`;
  return checkApiKey(key) === 'mistyped' ? 'this key has a typing error: its checksum does not fit' : undefined;
}
