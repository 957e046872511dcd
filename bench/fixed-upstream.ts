import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { isMainThread, parentPort, Worker } from 'node:worker_threads';

const ANSWER = JSON.stringify({
  id: 'chatcmpl-1',
  object: 'chat.completion',
  model: 'm',
  choices: [{ index: 0, message: { role: 'assistant', content: 'a'.repeat(600) }, finish_reason: 'stop' }],
  usage: { prompt_tokens: 200, completion_tokens: 100, total_tokens: 300 },
});

/** A model server that answers every request alike, in a thread of its own; to be terminated. */
export async function startUpstream(): Promise<{ readonly port: number; readonly thread: Worker }> {
  const thread = new Worker(new URL(import.meta.url));
  const [port] = (await once(thread, 'message')) as [number];
  return { port, thread };
}

if (!isMainThread) serve();

function serve(): void {
  const server = createServer((incoming, response) => {
    incoming.resume();
    response.writeHead(200, { 'content-type': 'application/json', 'content-length': ANSWER.length });
    response.end(ANSWER);
  });
  server.listen(0, '127.0.0.1', () => parentPort?.postMessage((server.address() as AddressInfo).port));
}
