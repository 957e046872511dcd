import { type IncomingHttpHeaders, request } from 'node:http';
import { connect } from 'node:net';

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
  /** The answer broke off. */
  readonly cut: boolean;
}

interface Question {
  readonly method?: string;
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Buffer;
}

/** One request on a connection of its own; an answer may come before the body is sent. */
export function ask(port: number, { method = 'POST', path, headers = {}, body }: Question): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const sent = request({ host: '127.0.0.1', port, method, path, headers, agent: false }, response => {
      const chunks: Buffer[] = [];
      const done = (cut: boolean) => {
        const { statusCode: status = 0, headers } = response;
        resolve({ status, headers, body: Buffer.concat(chunks).toString(), cut });
      };
      response
        .on('data', (chunk: Buffer) => chunks.push(chunk))
        .on('end', () => done(false))
        .on('error', () => done(true));
    });
    sent.on('error', reject);
    sent.end(body);
  });
}

/** Writes bytes as they are, and reads one answer, which must have a content-length. */
export function askRaw(port: number, bytes: string): Promise<Answer> {
  return new Promise((resolve, reject) => {
    let text = '';
    const socket = connect(port, '127.0.0.1');
    socket
      .setEncoding('utf8')
      .on('data', (chunk: string) => {
        text += chunk;
        const answer = parse(text);
        if (answer.cut) return;
        socket.destroy();
        resolve(answer);
      })
      .on('error', reject)
      .on('end', () => resolve(parse(text)))
      .write(bytes);
  });
}

function parse(text: string): Answer {
  const end = text.indexOf('\r\n\r\n');
  const [statusLine = '', ...lines] = text.slice(0, end).split('\r\n');
  const headers: IncomingHttpHeaders = Object.fromEntries(lines.map(line => line.split(': ', 2)));
  const body = text.slice(end + 4);
  const cut = end < 0 || Buffer.byteLength(body) < Number(headers['content-length']);
  return { status: Number(statusLine.split(' ')[1]), headers, body, cut };
}
