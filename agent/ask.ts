import type { MessagePort } from 'node:worker_threads';
import type { DataPlaneSnapshot } from '../telemetry/snapshot.ts';
import type { LimitsMessage, ModelExplanation, ToAgent, ToDataThread } from './messages.ts';
import type { TableDelta } from './table/route-table.ts';

/** Questions are answered from counters that exist anyway; a data thread that takes this long is stuck. */
const ANSWER_TIMEOUT_MS = 2_000;

/** The data thread did not answer in time. */
export class NoAnswer extends Error {}

/** The data thread as the agent knows it. Every promise rejects with what went wrong there, if something did. */
export interface DataThread {
  /** @throws NoAnswer */
  alive(): Promise<void>;
  /** @throws NoAnswer */
  snapshot(): Promise<DataPlaneSnapshot>;
  /**
   * Undefined where no model has that name.
   * @throws NoAnswer
   */
  explain(model: string): Promise<ModelExplanation | undefined>;
  /** Hands over a table; resolves when picks follow it, however long that takes. */
  apply(delta: TableDelta): Promise<void>;
  /** Hears what it says of limits unasked, from now on. */
  onLimits(listener: (limits: LimitsMessage) => void): void;
}

/** The data thread at the other end of a port. Answers are matched by number, so that questions may overlap. */
export function dataThread(port: MessagePort, answerTimeoutMs = ANSWER_TIMEOUT_MS): DataThread {
  let lastRequest = 0;
  let onLimits: (limits: LimitsMessage) => void = () => undefined;
  const waiting = new Map<number, { resolve(answer: never): void; reject(error: Error): void }>();
  port.on('message', (message: ToAgent) => {
    if (message.kind === 'stop') return;
    if (message.kind === 'limits') return onLimits(message);
    const asked = waiting.get(message.request);
    waiting.delete(message.request);
    if (message.kind === 'failed') asked?.reject(new Error(message.message));
    else asked?.resolve(message.answer as never);
  });
  const ask = <Answer>(question: (request: number) => ToDataThread): Promise<Answer> => {
    lastRequest++;
    const { promise, resolve, reject } = Promise.withResolvers<Answer>();
    waiting.set(lastRequest, { resolve, reject });
    port.postMessage(question(lastRequest));
    return promise;
  };
  const askInTime = <Answer>(question: (request: number) => ToDataThread): Promise<Answer> => {
    const answer = ask<Answer>(question);
    const request = lastRequest;
    const timer = setTimeout(() => {
      waiting.get(request)?.reject(new NoAnswer(`the data thread did not answer within ${answerTimeoutMs} ms`));
      waiting.delete(request);
    }, answerTimeoutMs);
    return answer.finally(() => clearTimeout(timer));
  };
  return {
    alive: () => askInTime(request => ({ kind: 'alive?', request })),
    snapshot: () => askInTime(request => ({ kind: 'snapshot?', request })),
    explain: model => askInTime(request => ({ kind: 'explain?', request, model })),
    apply: delta => ask(request => ({ kind: 'table', request, delta })),
    onLimits: listener => {
      onLimits = listener;
    },
  };
}
