import type { Answer } from '../answer.ts';
import { type ApiError, badRequest, isApiError } from './api-error.ts';
import { type JsonObject, messagesText, readGenerationFields } from './json-body.ts';
import { type EventStream, namedEvent, promptOf, type Work } from './work.ts';

/** POST /v1/responses. */
export function readResponse(body: JsonObject): Work | ApiError {
  const fields = readGenerationFields(body, ['max_output_tokens']);
  if (isApiError(fields)) return fields;
  const input = typeof body.input === 'string' ? body.input : messagesText(body.input);
  if (input === undefined) return badRequest('input must be a text or a list of items.', 'input');
  const instructions = typeof body.instructions === 'string' ? `${body.instructions}\n` : '';
  return {
    model: fields.model,
    prompts: [promptOf(instructions + input)],
    maxOutputTokens: fields.maxOutputTokens,
    whole: answer => response(answer, 'completed'),
    stream: fields.stream ? events : undefined,
  };
}

function events(answer: Answer): EventStream {
  let sequence = 0;
  const event = (type: string, fields: object) => namedEvent(type, { sequence_number: sequence++, ...fields });
  const place = { item_id: item(answer, 'completed').id, output_index: 0, content_index: 0 };
  const part = { type: 'output_text', annotations: [], logprobs: [] };
  return {
    open: () =>
      event('response.created', { response: response(answer, 'in_progress') }) +
      event('response.in_progress', { response: response(answer, 'in_progress') }) +
      event('response.output_item.added', { output_index: 0, item: item(answer, 'in_progress') }) +
      event('response.content_part.added', { ...place, part: { ...part, text: '' } }),
    delta: text => event('response.output_text.delta', { ...place, delta: text, logprobs: [] }),
    close: () => {
      const text = answer.text(0, answer.outputTokens);
      return (
        event('response.output_text.done', { ...place, text, logprobs: [] }) +
        event('response.content_part.done', { ...place, part: { ...part, text } }) +
        event('response.output_item.done', { output_index: 0, item: item(answer, 'completed') }) +
        event(cut(answer) ? 'response.incomplete' : 'response.completed', { response: response(answer, 'completed') })
      );
    },
  };
}

/** Whether the client's limit ended the answer. */
function cut(answer: Answer): boolean {
  return answer.finishReason === 'length';
}

function response(answer: Answer, state: 'in_progress' | 'completed'): object {
  const done = state === 'completed';
  return {
    id: `resp_${answer.pod}-${answer.number}`,
    object: 'response',
    created_at: answer.createdSeconds,
    model: answer.model,
    status: done && cut(answer) ? 'incomplete' : state,
    error: null,
    incomplete_details: done && cut(answer) ? { reason: 'max_output_tokens' } : null,
    instructions: null,
    metadata: {},
    parallel_tool_calls: true,
    tool_choice: 'auto',
    tools: [],
    output: done ? [item(answer, 'completed')] : [],
    usage: done ? usage(answer) : null,
  };
}

function item(answer: Answer, state: 'in_progress' | 'completed') {
  const done = state === 'completed';
  const text = done ? answer.text(0, answer.outputTokens) : '';
  return {
    id: `msg_${answer.pod}-${answer.number}`,
    type: 'message',
    role: 'assistant',
    status: done && cut(answer) ? 'incomplete' : state,
    content: done ? [{ type: 'output_text', text, annotations: [], logprobs: [] }] : [],
  };
}

function usage({ promptTokens, outputTokens }: Answer): object {
  return {
    input_tokens: promptTokens,
    input_tokens_details: { cached_tokens: 0 },
    output_tokens: outputTokens,
    output_tokens_details: { reasoning_tokens: 0 },
    total_tokens: promptTokens + outputTokens,
  };
}
