import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** What the health port shows. */
interface HealthView {
  /** What is not ready yet, in words for whoever asks why; empty when all is. */
  notReady(): readonly string[];
  metrics(): Promise<{ readonly contentType: string; readonly text: string }>;
}

interface HealthOptions {
  /** "host:port"; 0 for any port. An IPv6 host is in brackets. */
  readonly address: string;
  readonly view: HealthView;
  /** Closes it, with its connections. */
  readonly signal: AbortSignal;
}

interface Answer {
  readonly status: number;
  readonly contentType: string;
  readonly text: string;
}

/**
 * Serves `/livez` (200 as long as the event loop turns), `/readyz` (503 with the reasons until there are none) and
 * `/metrics` to kubelets and Prometheus; gives the port. Rejects when the address cannot be had.
 */
export async function serveHealth({ address, view, signal }: HealthOptions): Promise<number> {
  const url = URL.parse(`tcp://${address}`);
  if (url === null || url.port === '') throw new Error(`"${address}" is no host:port`);
  const server = createServer((request, response) => void answer(request, response, view));
  server.listen(Number(url.port), url.hostname.replace(/^\[(.*)\]$/, '$1'));
  await once(server, 'listening');
  const close = () => {
    server.close();
    server.closeAllConnections();
  };
  if (signal.aborted) close();
  else signal.addEventListener('abort', close, { once: true });
  return (server.address() as AddressInfo).port;
}

async function answer(request: IncomingMessage, response: ServerResponse, view: HealthView): Promise<void> {
  const { status, contentType, text } = await answerFor(request, view).catch((error: Error) =>
    plain(500, error.message),
  );
  response.writeHead(status, { 'content-type': contentType });
  response.end(request.method === 'HEAD' ? undefined : text);
}

async function answerFor({ method, url = '' }: IncomingMessage, view: HealthView): Promise<Answer> {
  if (method !== 'GET' && method !== 'HEAD') return plain(405, 'Only GET is served here.');
  switch (url.split('?')[0]) {
    case '/livez':
      return plain(200, 'ok');
    case '/readyz': {
      const reasons = view.notReady();
      return reasons.length === 0 ? plain(200, 'ok') : plain(503, reasons.join('\n'));
    }
    case '/metrics':
      return { status: 200, ...(await view.metrics()) };
    default:
      return plain(404, 'There are: /livez /readyz /metrics');
  }
}

function plain(status: number, text: string): Answer {
  return { status, contentType: 'text/plain; charset=utf-8', text: `${text}\n` };
}
