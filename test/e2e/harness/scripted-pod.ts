import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';

/** An answer, byte for byte. */
interface Script {
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
  /** An object is sent as JSON. */
  readonly body: string | Buffer | object;
}

/** A pod that answers as it is told, by the model that it is asked for: for what no engine of `sim/` says. */
export class ScriptedPod {
  readonly #server: Server;

  private constructor(server: Server) {
    this.#server = server;
  }

  /** @param scripts by the model of the request, which has to be JSON */
  static async start(scripts: Readonly<Record<string, Script>>): Promise<ScriptedPod> {
    const server = createServer(async (request, response) => {
      const { model } = JSON.parse((await buffer(request)).toString()) as { model: string };
      const { status = 200, headers = {}, body } = scripts[model] ?? { status: 404, body: { error: model } };
      const bytes = typeof body === 'string' || body instanceof Buffer ? body : JSON.stringify(body);
      response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(bytes);
    });
    await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
    return new ScriptedPod(server);
  }

  get endpoint(): string {
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise(resolve => this.#server.close(resolve));
  }
}

/** The answer of a chat, with that usage, or none. */
export function chatCompletion(usage?: object, content = 'Hello.'): object {
  const choices = [{ index: 0, message: { role: 'assistant', content }, finish_reason: 'stop' }];
  return {
    id: 'chatcmpl-0',
    object: 'chat.completion',
    created: 1_770_000_000,
    model: 'm',
    choices,
    ...(usage && { usage }),
  };
}
