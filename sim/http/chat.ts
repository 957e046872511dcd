import type { Answer } from '../answer.ts';
import { type ApiError, badRequest, isApiError } from './api-error.ts';
import { type JsonObject, messagesText, readGenerationFields, type StreamedUsage } from './json-body.ts';
import { dataEvent, type EventStream, promptOf, type Work } from './work.ts';

/** POST /v1/chat/completions. */
export function readChat(body: JsonObject): Work | ApiError {
  const fields = readGenerationFields(body, ['max_completion_tokens', 'max_tokens']);
  if (isApiError(fields)) return fields;
  const text = messagesText(body.messages);
  if (text === undefined) return badRequest('messages must be a list of one message or more.', 'messages');
  return {
    model: fields.model,
    prompts: [promptOf(text)],
    maxOutputTokens: fields.maxOutputTokens,
    whole,
    stream: fields.stream ? answer => events(answer, fields.usage) : undefined,
  };
}

function whole(answer: Answer): object {
  const message = { role: 'assistant', content: answer.text(0, answer.outputTokens) };
  return {
    ...head(answer, 'chat.completion'),
    choices: [{ index: 0, message, logprobs: null, finish_reason: answer.finishReason }],
    usage: openAiUsage(answer),
  };
}

function events(answer: Answer, usage: StreamedUsage): EventStream {
  const base = head(answer, 'chat.completion.chunk');
  let said = 0;
  const chunk = (delta: object, finish_reason: string | null) => {
    const choices = [{ index: 0, delta, logprobs: null, finish_reason }];
    return dataEvent({ ...base, choices, ...usageSoFar(usage, answer, said) });
  };
  return {
    open: () => chunk({ role: 'assistant', content: '' }, null),
    delta: (text, tokens) => {
      said += tokens;
      return chunk({ content: text }, null);
    },
    close: () => {
      const last = usage === 'none' ? '' : dataEvent({ ...base, choices: [], usage: openAiUsage(answer) });
      return `${chunk({}, answer.finishReason)}${last}data: [DONE]\n\n`;
    },
  };
}

function head({ pod, number, createdSeconds, model }: Answer, object: string) {
  return { id: `chatcmpl-${pod}-${number}`, object, created: createdSeconds, model };
}

/** What a chunk of a stream tells of usage, after so many tokens. */
export function usageSoFar(usage: StreamedUsage, answer: Answer, outputTokens: number): object {
  return usage === 'each' ? { usage: openAiUsage({ ...answer, outputTokens }) } : {};
}

/** Usage as chat and completions count it. */
export function openAiUsage({ promptTokens, outputTokens }: Answer): object {
  return {
    prompt_tokens: promptTokens,
    completion_tokens: outputTokens,
    total_tokens: promptTokens + outputTokens,
  };
}
