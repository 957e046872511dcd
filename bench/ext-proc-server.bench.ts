import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { type ClientHttp2Session, connect as connectHttp2 } from 'node:http2';
import { connect as connectSocket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { create, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import { decodeProcessingRequest } from '../extproc/server/decode.ts';
import { CONTINUE, encodeRouting } from '../extproc/server/encode.ts';
import { serveGrpcJs } from '../extproc/server/grpc-js-transport.ts';
import { type ExchangeHandler, type ExchangeStream, PROCESS_PATH } from '../extproc/server/transport.ts';
import { ProcessingRequestSchema } from '../proto/gen/envoy/service/ext_proc/v3/external_processor_pb.js';

/**
 * What a transport costs its process: two messages a stream (headers, body), each answered, then END_STREAM. The server
 * is a process of its own and reports its own CPU time, so the client, which costs more, does not count.
 */
const transports = { 'grpc-js': serveGrpcJs };
type TransportName = keyof typeof transports;

const bodies = [
  { name: '1 KB', bytes: 1_000, streams: 20_000 },
  { name: '200 KB', bytes: 200_000, streams: 2_000 },
];
const connections = 2;
const streamsPerConnection = 16;
const warmUpShare = 0.25;
const maxMessageBytes = 40 * 1024 * 1024;

const [, , role, transport, path] = process.argv;
if (role === 'serve') await serve(transport as TransportName, path ?? '');
else await measureAll();

async function serve(name: TransportName, path: string): Promise<void> {
  await transports[name]({ path, maxMessageBytes, openExchange: answering, accessLog: { entries: () => {} } });
  process.on('message', () => process.send?.(process.cpuUsage()));
  process.send?.('ready');
}

/** Does what an exchange does with its messages, but for the thinking. */
function answering(stream: ExchangeStream): ExchangeHandler {
  return {
    message: frame => {
      const message = decodeProcessingRequest(frame);
      if (message.kind === 'request_headers') {
        for (const name of [':method', ':path', 'content-type', 'x-model', 'routing-strategy'])
          message.headers.get(name);
        stream.send(CONTINUE.headers);
      } else if (message.kind === 'request_body') {
        stream.send(
          encodeRouting({
            setHeaders: { ':path': '/v1/chat/completions', 'x-fairlead-cluster': 'ml/llama', 'x-fairlead-route': 'r' },
            metadata: {
              'envoy.lb': { 'x-gateway-destination-endpoint': '10.0.0.1:8000,10.0.0.2:8000,10.0.0.3:8000' },
              fairlead: { id: 'abcdefgh-1', admitted: '1', model: 'llama', backend: 'gpu', strategy: 'least-request' },
            },
          }),
        );
      }
    },
    closed: () => {},
  };
}

async function measureAll(): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'fairlead-bench-'));
  console.log('transport  body      streams/s   server CPU µs a stream');
  for (const name of Object.keys(transports)) {
    for (const body of bodies) {
      const path = join(folder, `${name}-${body.bytes}.sock`);
      const server = fork(import.meta.filename, ['serve', name, path]);
      await once(server, 'message');
      const { perSecond, cpuUs } = await measure(server, path, body);
      console.log(
        `${name.padEnd(10)} ${body.name.padEnd(8)} ${perSecond.toFixed(0).padStart(10)} ${cpuUs.toFixed(1).padStart(12)}`,
      );
      server.kill();
    }
  }
  rmSync(folder, { recursive: true });
}

async function measure(server: ChildProcess, path: string, { bytes, streams }: (typeof bodies)[number]) {
  const frames = [headersFrame(), bodyFrame(bytes)];
  const sessions = await Promise.all(Array.from({ length: connections }, () => open(path)));
  const run = (count: number): Promise<unknown> => {
    const left = { count };
    return Promise.all(
      sessions.flatMap(session =>
        Array.from({ length: streamsPerConnection }, () => exchangesOn(session, frames, left)),
      ),
    );
  };
  await run(streams * warmUpShare);
  const beforeUs = await cpuOf(server);
  const startedMs = performance.now();
  await run(streams);
  const seconds = (performance.now() - startedMs) / 1_000;
  const cpuUs = ((await cpuOf(server)) - beforeUs) / streams;
  for (const session of sessions) session.destroy();
  return { perSecond: streams / seconds, cpuUs };
}

async function cpuOf(server: ChildProcess): Promise<number> {
  server.send('cpu?');
  const [usage] = (await once(server, 'message')) as [NodeJS.CpuUsage];
  return usage.user + usage.system;
}

async function open(path: string): Promise<ClientHttp2Session> {
  const session = connectHttp2('http://localhost', { createConnection: () => connectSocket(path) });
  await once(session, 'connect');
  return session;
}

/** One exchange after the other until none is left. */
async function exchangesOn(
  session: ClientHttp2Session,
  frames: readonly Buffer[],
  left: { count: number },
): Promise<void> {
  while (left.count-- > 0) await exchange(session, frames);
}

/** Sends a frame, awaits its answer, sends the next; then ends. */
function exchange(session: ClientHttp2Session, frames: readonly Buffer[]): Promise<void> {
  return new Promise((resolve, reject) => {
    const stream = session.request({ ':method': 'POST', ':path': PROCESS_PATH, 'content-type': 'application/grpc' });
    let sent = 0;
    const sendNext = () => {
      const frame = frames[sent++];
      if (frame === undefined) stream.end();
      else stream.write(frame);
    };
    stream.on('data', sendNext);
    stream.on('end', resolve);
    stream.on('error', reject);
    sendNext();
  });
}

function headersFrame(): Buffer {
  const headers = {
    ...{ ':authority': 'localhost:8888', ':path': '/v1/chat/completions', ':method': 'POST', ':scheme': 'http' },
    ...{ 'content-type': 'application/json', 'content-length': '1000', accept: 'application/json' },
    ...{ 'user-agent': 'OpenAI/Python 2.1.0', authorization: 'Bearer sk-0123456789abcdef', 'x-model': 'llama' },
    ...{ 'x-stainless-lang': 'python', 'x-stainless-runtime': 'CPython', 'x-forwarded-proto': 'http' },
    ...{ 'x-request-id': '0e0b931e-689e-4bfa-b43d-76e6c35605c0', 'accept-encoding': 'gzip, deflate' },
  };
  const list = Object.entries(headers).map(([key, value]) => ({ key, rawValue: Buffer.from(value) }));
  return framed({ case: 'requestHeaders', value: { headers: { headers: list } } });
}

function bodyFrame(bytes: number): Buffer {
  return framed({ case: 'requestBody', value: { body: Buffer.alloc(bytes, 'x'), endOfStream: true } });
}

/** A gRPC message: not compressed, length, protobuf. */
function framed(request: NonNullable<MessageInitShape<typeof ProcessingRequestSchema>['request']>): Buffer {
  const message = toBinary(ProcessingRequestSchema, create(ProcessingRequestSchema, { request }));
  const head = Buffer.alloc(5);
  head.writeUInt32BE(message.length, 1);
  return Buffer.concat([head, message]);
}
