import { type Answer, answerText, drawOutputTokens } from '../answer.ts';
import type { EngineClock } from '../engine/engine-clock.ts';
import type { PodMetrics } from '../metrics.ts';
import { type ApiError, badRequest, modelNotFound } from './api-error.ts';
import type { Exchange } from './exchange.ts';
import type { EventStream, Work } from './work.ts';

/** What answering needs to know of the pod. */
export interface Inference {
  readonly pod: string;
  /** Served names, the first is the one meant when a request names none. */
  readonly models: readonly [string, ...string[]];
  readonly seed: number;
  /** Prompt and output together. */
  readonly maxModelTokens: number;
  readonly clock: EngineClock;
  readonly metrics: PodMetrics;
}

/** What the engine is going to do for a request, or why it is not. */
export function planAnswer(work: Work, number: number, inference: Inference): Answer | ApiError {
  const { models, maxModelTokens, pod, seed } = inference;
  const model = work.model ?? models[0];
  if (!models.includes(model)) return modelNotFound(model);
  const longest = Math.max(...work.prompts.map(({ tokens }) => tokens));
  const room = maxModelTokens - longest;
  const wanted = work.maxOutputTokens;
  if (room < Math.max(wanted ?? 1, 0)) {
    return badRequest(
      `This model's maximum context length is ${maxModelTokens} tokens. However, the request has ${longest} in its ` +
        `prompt and asks for ${wanted ?? 'at least 1'} more. Shorten the prompt or ask for less.`,
    );
  }
  const text = work.prompts[0]?.text ?? '';
  const drawn = Math.min(drawOutputTokens(text, seed), room);
  let promptTokens = 0;
  for (const { tokens } of work.prompts) promptTokens += tokens;
  return {
    number,
    pod,
    model,
    promptTokens,
    outputTokens: wanted ?? drawn,
    finishReason: wanted ? 'length' : 'stop',
    createdSeconds: Math.floor(Date.now() / 1000),
    text: answerText(pod, text, seed),
  };
}

/** Has the engine do the work and writes what comes of it. */
export function answerWork(exchange: Exchange, work: Work, answer: Answer, inference: Inference): void {
  const { clock, metrics } = inference;
  const writer = work.stream
    ? streamWriter(exchange, answer, work.stream(answer))
    : () => {
        const body = JSON.stringify(work.whole(answer));
        exchange.reply({ status: 200, contentType: 'application/json', body });
      };
  if (work.stream) exchange.openStream();
  let left = work.prompts.length;
  const sequences = work.prompts.map(({ tokens: promptTokens }) => {
    let read = false;
    return clock.submit(promptTokens, answer.outputTokens, ({ tokens, finished }) => {
      if (!read) metrics.promptRead(promptTokens);
      read = true;
      metrics.generated(tokens);
      if (finished) left--;
      if (left === 0) metrics.ended(answer.finishReason);
      if (work.stream || left === 0) writer(tokens, left === 0);
    });
  });
  exchange.onCut(() => {
    if (left > 0) metrics.ended('abort');
    for (const sequence of sequences) clock.abort(sequence);
  });
}

/** Says each turn's tokens as they come. */
function streamWriter(exchange: Exchange, answer: Answer, stream: EventStream) {
  let said = 0;
  return (tokens: number, finished: boolean) => {
    const allowed = Math.min(tokens, exchange.tokensLeft);
    const opening = said === 0 ? stream.open() : '';
    exchange.events(opening + stream.delta(answer.text(said, said + allowed), allowed), allowed);
    said += allowed;
    if (finished) exchange.endStream(stream.close());
  };
}
