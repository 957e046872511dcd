import { request } from 'node:http';

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
      response.on('error', reject);
      response.on('end', () =>
        response.statusCode === 200 ? resolve(body) : reject(new Error(`${path}: ${response.statusCode} ${body}`)),
      );
    });
    outgoing.on('timeout', () => outgoing.destroy(new Error(`${path}: no answer`)));
    outgoing.on('error', reject);
    outgoing.end();
  });
}

/** Whether an Envoy listens on its admin socket, be it ready or not. */
export function envoyListens(socketPath: string): Promise<boolean> {
  return envoyAdmin(socketPath, 'GET', '/server_info').then(
    () => true,
    error => !isGone(error),
  );
}

/** Whether what went wrong means that no Envoy is there, rather than one that is busy. */
export function isGone(error: unknown): boolean {
  return error instanceof Error && 'code' in error && (error.code === 'ECONNREFUSED' || error.code === 'ENOENT');
}
