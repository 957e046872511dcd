import type { IncomingMessage, ServerResponse } from 'node:http';
import type { FaultQueue } from '../faults.ts';
import { type Recorder, recordAsJson } from '../recorder.ts';
import { type ApiError, isApiError } from './api-error.ts';
import { INFERENCE_ENDPOINTS, type InferenceEndpoint } from './endpoints.ts';
import { Exchange, type Reply } from './exchange.ts';
import { answerWork, type Inference, planAnswer } from './inference.ts';

/** What a pod's HTTP side works with. */
export interface FrontParts {
  readonly inference: Inference;
  readonly recorder: Recorder;
  readonly faults: FaultQueue;
}

/** The header by which a pod signs its answers. */
const POD_HEADER = 'x-sim-pod';

/** Answers one HTTP request as a vLLM server would; to be called by the server for each. */
export async function answerRequest(
  request: IncomingMessage,
  response: ServerResponse,
  { inference, recorder, faults }: FrontParts,
): Promise<void> {
  response.setHeader(POD_HEADER, inference.pod);
  const path = (request.url ?? '').split('?', 1)[0] ?? '';
  const endpoint = Object.hasOwn(INFERENCE_ENDPOINTS, path) ? INFERENCE_ENDPOINTS[path] : undefined;
  const body = await readBody(request);
  // Gone before it was whole: there is nobody to answer and nothing to record.
  if (!body) return;
  if (path.startsWith('/sim/') || !endpoint || request.method !== 'POST') {
    if (!path.startsWith('/sim/')) recordUntilClosed(request, response, body, recorder);
    const reply = await answerOther(request.method ?? '', path, endpoint !== undefined, inference, recorder);
    response.writeHead(reply.status, { 'content-type': reply.contentType, ...reply.headers }).end(reply.body);
    return;
  }
  const record = recordUntilClosed(request, response, body, recorder);
  await infer(new Exchange(request, response, { record, body }, faults.take()), endpoint, inference);
}

async function infer(exchange: Exchange, endpoint: InferenceEndpoint, inference: Inference): Promise<void> {
  const refuse = (error: ApiError) => exchange.reply(json(error.status, endpoint.errorBody(error)));
  const faulty = (status: number) => {
    const message = 'The simulated pod was told to fail.';
    return json(status, endpoint.errorBody({ status, type: 'SimulatedFault', message, param: null }));
  };
  if (exchange.failEarly(faulty)) return;
  const work = await endpoint.read(exchange.body, exchange.contentType);
  if (isApiError(work)) return refuse(work);
  const answer = planAnswer(work, exchange.record.number, inference);
  if (isApiError(answer)) return refuse(answer);
  answerWork(exchange, work, answer, inference);
}

function recordUntilClosed(request: IncomingMessage, response: ServerResponse, body: Buffer, recorder: Recorder) {
  const record = recorder.record(request, body);
  response.once('close', () => {
    record.status = response.headersSent ? response.statusCode : undefined;
    record.outcome = response.writableFinished ? 'answered' : 'cut';
  });
  return record;
}

/** Everything that is not inference. */
async function answerOther(
  method: string,
  path: string,
  isInference: boolean,
  inference: Inference,
  recorder: Recorder,
): Promise<Reply> {
  const pages: Readonly<Record<string, () => Reply | Promise<Reply>>> = {
    '/health': () => ({ status: 200, contentType: 'text/plain', body: '' }),
    '/v1/models': () => json(200, modelList(inference)),
    '/metrics': async () => {
      const { contentType, text } = await inference.metrics.exposition();
      return { status: 200, contentType, body: text };
    },
    '/sim/requests': () => json(200, recorder.requests.map(recordAsJson)),
  };
  const page = Object.hasOwn(pages, path) ? pages[path] : undefined;
  if (page && method === 'GET') return page();
  // FastAPI's own answers, which do not have vLLM's shape.
  if (page || isInference) {
    return { ...json(405, { detail: 'Method Not Allowed' }), headers: { allow: page ? 'GET' : 'POST' } };
  }
  return json(404, { detail: 'Not Found' });
}

function modelList({ models, maxModelTokens }: Inference): object {
  const data = models.map(id => ({
    id,
    object: 'model',
    created: Math.floor(Date.now() / 1000),
    owned_by: 'vllm',
    root: models[0],
    parent: null,
    max_model_len: maxModelTokens,
  }));
  return { object: 'list', data };
}

function json(status: number, value: object): Reply {
  return { status, contentType: 'application/json', body: JSON.stringify(value) };
}

/** The whole body; undefined when the client went away first. */
async function readBody(request: IncomingMessage): Promise<Buffer | undefined> {
  const chunks: Buffer[] = [];
  try {
    for await (const chunk of request) chunks.push(chunk as Buffer);
  } catch {
    return undefined;
  }
  return Buffer.concat(chunks);
}
