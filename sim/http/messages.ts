import type { Answer } from '../answer.ts';
import { type ApiError, badRequest, isApiError } from './api-error.ts';
import { contentText, type JsonObject, messagesText, readGenerationFields } from './json-body.ts';
import { type EventStream, namedEvent, promptOf, type Work } from './work.ts';

/** POST /v1/messages, Anthropic's dialect. */
export function readMessages(body: JsonObject): Work | ApiError {
  const fields = readGenerationFields(body, ['max_tokens']);
  if (isApiError(fields)) return fields;
  if (fields.maxOutputTokens === undefined) return badRequest('max_tokens: Field required', 'max_tokens');
  const text = messagesText(body.messages);
  if (text === undefined) return badRequest('messages: a list of one message or more is required', 'messages');
  const system = contentText(body.system);
  return {
    model: fields.model,
    prompts: [promptOf(system === undefined ? text : `${system}\n${text}`)],
    maxOutputTokens: fields.maxOutputTokens,
    whole: answer => ({
      ...head(answer),
      content: [{ type: 'text', text: answer.text(0, answer.outputTokens) }],
      stop_reason: stopReason(answer),
      usage: { input_tokens: answer.promptTokens, output_tokens: answer.outputTokens },
    }),
    stream: fields.stream ? events : undefined,
  };
}

function events(answer: Answer): EventStream {
  const usage = { input_tokens: answer.promptTokens, output_tokens: 0 };
  return {
    open: () =>
      namedEvent('message_start', { message: { ...head(answer), content: [], stop_reason: null, usage } }) +
      namedEvent('content_block_start', { index: 0, content_block: { type: 'text', text: '' } }),
    delta: text => namedEvent('content_block_delta', { index: 0, delta: { type: 'text_delta', text } }),
    close: () =>
      namedEvent('content_block_stop', { index: 0 }) +
      namedEvent('message_delta', {
        delta: { stop_reason: stopReason(answer), stop_sequence: null },
        usage: { output_tokens: answer.outputTokens },
      }) +
      namedEvent('message_stop'),
  };
}

function head({ pod, number, model }: Answer) {
  return { id: `msg_${pod}-${number}`, type: 'message', role: 'assistant', model, stop_sequence: null };
}

function stopReason(answer: Answer): string {
  return answer.finishReason === 'length' ? 'max_tokens' : 'end_turn';
}
