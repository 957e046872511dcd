import type { Answer } from '../answer.ts';
import { type ApiError, badRequest, isApiError } from './api-error.ts';
import { openAiUsage, usageSoFar } from './chat.ts';
import { type JsonObject, readGenerationFields, type StreamedUsage } from './json-body.ts';
import { dataEvent, type EventStream, type Prompt, promptOf, type Work } from './work.ts';

/** POST /v1/completions, for one prompt: a text, or token ids. */
export function readCompletion(body: JsonObject): Work | ApiError {
  const fields = readGenerationFields(body, ['max_tokens']);
  if (isApiError(fields)) return fields;
  const prompt = readPrompt(body.prompt);
  if (!prompt) return badRequest('prompt must be one text, or one list of token ids.', 'prompt');
  return {
    model: fields.model,
    prompts: [prompt],
    maxOutputTokens: fields.maxOutputTokens,
    whole,
    stream: fields.stream ? answer => events(answer, fields.usage) : undefined,
  };
}

function readPrompt(prompt: unknown): Prompt | undefined {
  if (typeof prompt === 'string') return promptOf(prompt);
  if (!Array.isArray(prompt) || prompt.length === 0) return undefined;
  if (prompt.every(Number.isInteger)) return { text: prompt.join(' '), tokens: prompt.length };
  return prompt.length === 1 ? readPrompt(prompt[0]) : undefined;
}

function whole(answer: Answer): object {
  return {
    ...head(answer),
    choices: [choice(answer.text(0, answer.outputTokens), answer.finishReason)],
    usage: openAiUsage(answer),
  };
}

function events(answer: Answer, usage: StreamedUsage): EventStream {
  const base = head(answer);
  let said = 0;
  const chunk = (text: string, finish: string | null) =>
    dataEvent({ ...base, choices: [choice(text, finish)], ...usageSoFar(usage, answer, said) });
  return {
    open: () => '',
    delta: (text, tokens) => {
      said += tokens;
      return chunk(text, null);
    },
    close: () => {
      const last = usage === 'none' ? '' : dataEvent({ ...base, choices: [], usage: openAiUsage(answer) });
      return `${chunk('', answer.finishReason)}${last}data: [DONE]\n\n`;
    },
  };
}

function choice(text: string, finish_reason: string | null) {
  return { index: 0, text, logprobs: null, finish_reason };
}

function head({ pod, number, createdSeconds, model }: Answer) {
  return { id: `cmpl-${pod}-${number}`, object: 'text_completion', created: createdSeconds, model };
}
