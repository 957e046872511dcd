import { RawConnection } from './raw-connection.ts';

// https://www.rfc-editor.org/rfc/rfc9113#section-6
const HEADERS = 1;
const RST_STREAM = 3;
const SETTINGS = 4;
const GOAWAY = 7;
const CONTINUATION = 9;
const END_STREAM = 1;
const END_HEADERS = 4;
const FRAME_HEAD_BYTES = 9;
/** What a receiver takes that has not said otherwise. */
const MAX_FRAME_BYTES = 16_384;
const PREFACE = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n';

/** Header fields in their order, which a proper client would not let through. */
export type Fields = readonly (readonly [name: string, value: string])[];

/** What became of a stream or the whole connection. */
export type Http2Outcome = 'answered' | 'reset' | 'connection closed' | undefined;

/** An HTTP/2 client without scruples: Node's own refuses to send what is wrong. */
export class Http2Frames {
  readonly #connection: RawConnection;
  #lastStream = -1;

  private constructor(connection: RawConnection) {
    this.#connection = connection;
  }

  static async open(port: number): Promise<Http2Frames> {
    const connection = await RawConnection.open(port);
    connection.write(PREFACE);
    connection.write(frame(SETTINGS, 0, 0, Buffer.alloc(0)));
    return new Http2Frames(connection);
  }

  /** Sends a request of these fields and no body. @returns the stream's number */
  request(fields: Fields): number {
    return this.requestBlock(Buffer.concat(fields.map(([name, value]) => literal(name, value))));
  }

  /** Sends a request whose compressed headers are these bytes. @returns the stream's number */
  requestBlock(block: Buffer): number {
    this.#lastStream += 2;
    for (let at = 0; at === 0 || at < block.length; at += MAX_FRAME_BYTES) {
      const isLast = at + MAX_FRAME_BYTES >= block.length;
      const flags = (isLast ? END_HEADERS : 0) | (at === 0 ? END_STREAM : 0);
      const part = block.subarray(at, at + MAX_FRAME_BYTES);
      this.#connection.write(frame(at === 0 ? HEADERS : CONTINUATION, flags, this.#lastStream, part));
    }
    return this.#lastStream;
  }

  /** What has come of a stream so far; undefined while nothing has. */
  outcome(stream: number): Http2Outcome {
    for (const { type, streamId } of this.#frames()) {
      if (type === GOAWAY) return 'connection closed';
      if (streamId === stream && type === HEADERS) return 'answered';
      if (streamId === stream && type === RST_STREAM) return 'reset';
    }
    return this.#connection.ended ? 'connection closed' : undefined;
  }

  close(): void {
    this.#connection.reset();
  }

  *#frames() {
    const bytes = this.#connection.received;
    for (let at = 0; at + FRAME_HEAD_BYTES <= bytes.length; ) {
      yield { type: bytes[at + 3], streamId: bytes.readUInt32BE(at + 5) };
      at += FRAME_HEAD_BYTES + bytes.readUIntBE(at, 3);
    }
  }
}

function frame(type: number, flags: number, streamId: number, payload: Buffer): Buffer {
  const head = Buffer.alloc(FRAME_HEAD_BYTES);
  head.writeUIntBE(payload.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(streamId, 5);
  return Buffer.concat([head, payload]);
}

/** A field without compression: https://www.rfc-editor.org/rfc/rfc7541#section-6.2.2 */
function literal(name: string, value: string): Buffer {
  return Buffer.concat([Buffer.from([0]), text(name), text(value)]);
}

function text(value: string): Buffer {
  const bytes = Buffer.from(value, 'latin1');
  if (bytes.length < 127) return Buffer.concat([Buffer.from([bytes.length]), bytes]);
  const length = [127];
  let rest = bytes.length - 127;
  for (; rest >= 128; rest >>= 7) length.push((rest & 127) | 128);
  return Buffer.concat([Buffer.from([...length, rest]), bytes]);
}
