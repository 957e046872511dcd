import { request } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';

/**
 * Asks Envoy's admin interface on its Unix socket.
 * @throws Error when Envoy does not answer, or not with 200
 */
export function envoyAdmin(socketPath: string, method: 'GET' | 'POST', path: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const outgoing = request({ socketPath, method, path, timeout: 2_000 }, response => {
      let body = '';
      response.setEncoding('utf8');
      response.on('data', chunk => {
        body += chunk;
      });
      response.on('end', () =>
        response.statusCode === 200 ? resolve(body) : reject(new Error(`${path}: ${response.statusCode} ${body}`)),
      );
    });
    outgoing.on('timeout', () => outgoing.destroy(new Error(`${path}: no answer`)));
    outgoing.on('error', reject);
    outgoing.end();
  });
}

const POLL_MS = 50;
/**
 * Envoy sends access records every 50 ms, and does not wait for the last of them when it ends: they would be lost, and
 * Envoy 1.40.0 now and then dies of a segmentation fault over them.
 */
const LAST_RECORDS_MS = 250;

/** Closes Envoy's listeners and waits until no request is running, for `graceMs` at the most, and all are recorded. */
export async function drainEnvoy(socketPath: string, graceMs: number): Promise<void> {
  const deadlineMs = performance.now() + graceMs;
  try {
    // By Envoy's drain strategy (envoy-command.ts), every answer from here on ends its connection too.
    await envoyAdmin(socketPath, 'POST', '/drain_listeners');
    while (performance.now() < deadlineMs && (await activeRequests(socketPath)) > 0) await delay(POLL_MS);
    await delay(LAST_RECORDS_MS);
  } catch {
    // No Envoy to drain: it has ended, or never began.
  }
}

/** Requests that Envoy's listeners are serving now. */
async function activeRequests(socketPath: string): Promise<number> {
  const text = await envoyAdmin(socketPath, 'GET', '/stats?filter=^http\\..*\\.downstream_rq_active$');
  let sum = 0;
  for (const line of text.split('\n')) {
    const [name, value] = line.split(': ');
    if (name && !name.startsWith('http.admin.')) sum += Number(value ?? 0);
  }
  return sum;
}
