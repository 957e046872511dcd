import { seededRandom, seedOf } from '../random.ts';
import { type ApiError, badRequest, isApiError } from './api-error.ts';
import { readingUsage } from './embeddings.ts';
import { isObject, type JsonObject, readGenerationFields } from './json-body.ts';
import { promptOf, type Work } from './work.ts';

/** POST /v1/rerank: documents by relevance to a query, the best first. */
export function readRerank(body: JsonObject): Work | ApiError {
  const fields = readGenerationFields(body, ['top_n']);
  if (isApiError(fields)) return fields;
  const { query } = body;
  if (typeof query !== 'string') return badRequest('query must be a text.', 'query');
  const documents = texts(body.documents);
  if (!documents) return badRequest('documents must be a list of texts.', 'documents');
  const results = documents
    .map((text, index) => ({ index, document: { text }, relevance_score: score(`${query}\n${text}`) }))
    .sort((one, other) => other.relevance_score - one.relevance_score)
    .slice(0, fields.maxOutputTokens);
  return {
    model: fields.model,
    prompts: documents.map(text => promptOf(`${query}\n${text}`)),
    maxOutputTokens: 0,
    whole: answer => ({
      id: `rerank-${answer.pod}-${answer.number}`,
      model: answer.model,
      usage: { total_tokens: answer.promptTokens },
      results,
    }),
    stream: undefined,
  };
}

/** POST /v1/classify: one of two labels for each text. */
export function readClassify(body: JsonObject): Work | ApiError {
  const fields = readGenerationFields(body, []);
  if (isApiError(fields)) return fields;
  const inputs = typeof body.input === 'string' ? [body.input] : texts(body.input);
  if (!inputs) return badRequest('input must be a text or a list of texts.', 'input');
  return {
    model: fields.model,
    prompts: inputs.map(promptOf),
    maxOutputTokens: 0,
    whole: answer => ({
      id: `classify-${answer.pod}-${answer.number}`,
      object: 'list',
      created: answer.createdSeconds,
      model: answer.model,
      data: inputs.map((text, index) => {
        const first = score(text);
        return { index, label: first >= 0.5 ? 'LABEL_0' : 'LABEL_1', probs: [first, 1 - first], num_classes: 2 };
      }),
      usage: readingUsage(answer),
    }),
    stream: undefined,
  };
}

function texts(value: unknown): readonly string[] | undefined {
  if (!Array.isArray(value) || value.length === 0) return undefined;
  const read = value.map(item => (isObject(item) ? item.text : item));
  return read.every(item => typeof item === 'string') ? read : undefined;
}

/** Between 0 and 1, drawn from the text. */
function score(text: string): number {
  return seededRandom(seedOf(text, 0))();
}
