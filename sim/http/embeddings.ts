import type { Answer } from '../answer.ts';
import { seededRandom, seedOf } from '../random.ts';
import { type ApiError, badRequest, isApiError } from './api-error.ts';
import { type JsonObject, readGenerationFields } from './json-body.ts';
import { type Prompt, promptOf, type Work } from './work.ts';

/** Width of BAAI/bge-m3's vectors. */
const USUAL_DIMENSIONS = 1024;

/** POST /v1/embeddings: texts or token ids, as floats or (what OpenAI's client asks for) base64. */
export function readEmbeddings(body: JsonObject): Work | ApiError {
  const fields = readGenerationFields(body, []);
  if (isApiError(fields)) return fields;
  const prompts = readInputs(body.input);
  if (!prompts) return badRequest('input must be a text, token ids, or a list of either.', 'input');
  const dimensions = body.dimensions ?? USUAL_DIMENSIONS;
  if (!Number.isSafeInteger(dimensions) || (dimensions as number) < 1 || (dimensions as number) > 65_536) {
    return badRequest('dimensions must be between 1 and 65536.', 'dimensions');
  }
  const base64 = body.encoding_format === 'base64';
  return {
    model: fields.model,
    prompts,
    maxOutputTokens: 0,
    whole: answer => ({
      id: `embd-${answer.pod}-${answer.number}`,
      object: 'list',
      created: answer.createdSeconds,
      model: answer.model,
      data: prompts.map(({ text }, index) => {
        const vector = embed(text, dimensions as number);
        return { index, object: 'embedding', embedding: base64 ? asBase64(vector) : Array.from(vector) };
      }),
      usage: readingUsage(answer),
    }),
    stream: undefined,
  };
}

/** Usage where nothing is generated. */
export function readingUsage({ promptTokens }: Answer): object {
  return { prompt_tokens: promptTokens, completion_tokens: 0, total_tokens: promptTokens, prompt_tokens_details: null };
}

function readInputs(input: unknown): readonly Prompt[] | undefined {
  if (typeof input === 'string') return [promptOf(input)];
  if (!Array.isArray(input) || input.length === 0) return undefined;
  if (input.every(Number.isInteger)) return [{ text: input.join(' '), tokens: input.length }];
  const prompts: Prompt[] = [];
  for (const item of input) {
    if (typeof item !== 'string' && !Array.isArray(item)) return undefined;
    const read = readInputs(item);
    if (read?.length !== 1 || !read[0]) return undefined;
    prompts.push(read[0]);
  }
  return prompts;
}

/** A vector of length 1 drawn from the text alone: every pod of a model agrees, as copies of one model do. */
function embed(text: string, dimensions: number): Float32Array {
  const random = seededRandom(seedOf(text, 0));
  const vector = new Float32Array(dimensions);
  let squares = 0;
  for (let index = 0; index < dimensions; index++) {
    const value = random() - 0.5;
    vector[index] = value;
    squares += value * value;
  }
  const length = Math.sqrt(squares);
  return vector.map(value => value / length);
}

function asBase64(vector: Float32Array): string {
  return Buffer.from(vector.buffer).toString('base64');
}
