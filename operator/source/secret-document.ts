import type { Checked } from '../../crds/check-fields.ts';
import type { FieldPath, FieldProblem } from '../../crds/field-problem.ts';

/** A Secret as a document shows it. */
export interface SecretDocument {
  readonly namespace: string;
  readonly name: string;
  readonly data: Readonly<Record<string, Uint8Array>>;
}

/** Standard base64; line breaks inside are allowed, as the API server allows them. */
const BASE64 = /^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;

type Fields = Readonly<Record<string, unknown>>;

/**
 * Reads a `v1 Secret` document: `data` in base64, `stringData` as it is, which goes before. The messages say what is
 * wrong but never show a value.
 */
export function readSecret({ metadata, data, stringData }: Fields): Checked<SecretDocument> {
  const problems: FieldProblem[] = [];
  const refuse = (path: FieldPath, message: string) => problems.push({ path, at: 'value', message });
  const { name, namespace = 'default' } = mapping(metadata) ?? {};
  if (typeof name !== 'string' || name === '') refuse(['metadata', 'name'], 'expected the name of the Secret');
  if (typeof namespace !== 'string' || namespace === '') refuse(['metadata', 'namespace'], 'expected a namespace');
  const found: Record<string, Uint8Array> = {};
  for (const [field, decode, form] of [
    ['data', fromBase64, 'a string in base64; text as it is belongs in `stringData`'],
    ['stringData', fromText, 'a string'],
  ] as const) {
    const values = { data, stringData }[field] ?? {};
    if (mapping(values) === undefined) refuse([field], 'expected a mapping');
    for (const [key, value] of Object.entries(mapping(values) ?? {})) {
      const bytes = typeof value === 'string' ? decode(value) : undefined;
      if (bytes === undefined) refuse([field, key], `expected ${form}`);
      else found[key] = bytes;
    }
  }
  if (problems.length > 0) return { problems };
  return { value: { namespace: String(namespace), name: String(name), data: found } };
}

function fromBase64(text: string): Uint8Array | undefined {
  const base64 = text.replaceAll(/[\r\n]/g, '');
  return BASE64.test(base64) ? new Uint8Array(Buffer.from(base64, 'base64')) : undefined;
}

function fromText(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text));
}

function mapping(value: unknown): Fields | undefined {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Fields) : undefined;
}
