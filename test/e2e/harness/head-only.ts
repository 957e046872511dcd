import type { Answer } from './answer.ts';
import { RawConnection } from './raw-connection.ts';

/** Headers in their order, any of them several times; text is sent as UTF-8. */
export type HeaderLines = readonly (readonly [name: string, value: string])[];

/**
 * Sends the head of a request that says it has a body, and never sends that: who answers has not waited for it.
 *
 * @param line "METHOD /path"
 * @returns undefined when the connection ended without an answer
 */
export async function answerToHead(port: number, line: string, headers: HeaderLines): Promise<Answer | undefined> {
  const connection = await RawConnection.open(port);
  try {
    const all: HeaderLines = [
      ['host', 'gateway'],
      ['content-type', 'application/json'],
      ['content-length', '1000'],
      ...headers,
    ];
    connection.write(`${line} HTTP/1.1\r\n${all.map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n`);
    return await connection.answer();
  } finally {
    connection.reset();
  }
}
