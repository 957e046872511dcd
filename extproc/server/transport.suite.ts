import assert from 'node:assert/strict';
import { once } from 'node:events';
import { statSync } from 'node:fs';
import type { ClientHttp2Session } from 'node:http2';
import { connect as connectSocket } from 'node:net';
import { after, afterEach, beforeEach, describe, it } from 'node:test';
import { create, toBinary } from '@bufbuild/protobuf';
import fc from 'fast-check';
import { StreamAccessLogsMessageSchema } from '../../proto/gen/envoy/service/accesslog/v3/als_pb.js';
import { framed, RawGrpcCall, until } from './raw-grpc-call.fixture.ts';
import { ACCESS_LOG_PATH, PROCESS_PATH, type ServeOptions, type Transport } from './transport.ts';
import { MEBIBYTE, TransportBench } from './transport-bench.fixture.ts';

/** The behaviour of every transport: `serve` starts the one under test. */
export function transportSuite(name: string, serve: (options: ServeOptions) => Promise<Transport>): void {
  describe(`transport ${name}`, () => {
    const bench = new TransportBench(serve);
    beforeEach(() => bench.open());
    afterEach(() => bench.close());
    after(() => bench.remove());

    describe('hands on messages', () => suiteMessages(bench));
    describe('closes each stream once', () => suiteEndings(bench));
    describe('has limits', () => suiteLimits(bench));
    describe('takes access logs', () => suiteAccessLogs(bench));
    describe('as a whole', () => suiteService(bench));
  });
}

/** Messages in, answers out. */
function suiteMessages(bench: TransportBench): void {
  it('hands on each message whole and in order, and answers END_STREAM with status 0', async () => {
    const call = new RawGrpcCall(bench.client, PROCESS_PATH);
    call.send(Buffer.from('one'));
    assert.equal(String(await call.next()), 'one');
    call.send(Buffer.from('two'));
    call.send(Buffer.from('three'));
    assert.equal(String(await call.next()), 'two');
    assert.equal(String(await call.next()), 'three');
    assert.equal(bench.exchanges[0]?.closings, 0);
    call.end();
    assert.equal(await call.status(), '0');
    assert.deepEqual(bench.exchanges[0]?.messages.map(String), ['one', 'two', 'three']);
    assert.equal(bench.exchanges[0]?.closings, 1);
  });

  it('keeps the streams of one connection apart', async () => {
    const calls = Array.from({ length: 50 }, () => new RawGrpcCall(bench.client, PROCESS_PATH));
    for (const [i, call] of calls.entries()) call.send(Buffer.from(`${i}`));
    for (const [i, call] of calls.entries()) assert.equal(String(await call.next()), `${i}`);
    assert.equal(bench.exchanges.length, 50);
  });

  it('takes frames cut anywhere', async () => {
    const chunked = fc.record({
      messages: fc.array(fc.uint8Array({ minLength: 0, maxLength: 300 }), { minLength: 1, maxLength: 5 }),
      cuts: fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 8 }),
    });
    await fc.assert(
      fc.asyncProperty(chunked, async ({ messages, cuts }) => {
        const call = new RawGrpcCall(bench.client, PROCESS_PATH);
        const bytes = Buffer.concat(messages.map(framed));
        for (let at = 0, i = 0; at < bytes.length; i++) {
          const cut = cuts[i % cuts.length] ?? 1;
          call.write(bytes.subarray(at, at + cut));
          at += cut;
        }
        for (const message of messages) assert.deepEqual([...(await call.next())], [...message]);
        call.end();
        assert.equal(await call.status(), '0');
      }),
      { numRuns: 30 },
    );
  });

  it('refuses a method that it does not have', async () => {
    assert.equal(
      await new RawGrpcCall(bench.client, '/envoy.service.ext_proc.v3.ExternalProcessor/Other').status(),
      '12',
    );
  });
}

/** Every stream is closed once, however it ends. */
function suiteEndings(bench: TransportBench): void {
  it('closes once when the stream is reset', async () => {
    const call = new RawGrpcCall(bench.client, PROCESS_PATH);
    call.send(Buffer.from('x'));
    await call.next();
    call.reset();
    await until(() => bench.exchanges[0]?.closings === 1);
    bench.exchanges[0]?.stream.send(Buffer.from('too late'));
    bench.exchanges[0]?.stream.end();
    await roundTrip(bench.client);
    assert.equal(bench.exchanges[0]?.closings, 1);
  });

  it('closes once when END_STREAM and a reset come together, as Envoy sends them', async () => {
    const call = new RawGrpcCall(bench.client, PROCESS_PATH);
    call.send(Buffer.from('x'));
    await call.next();
    call.end();
    call.reset();
    await until(() => bench.exchanges[0]?.closings === 1);
    await roundTrip(bench.client);
    assert.equal(bench.exchanges[0]?.closings, 1);
  });

  it('closes a stream that is reset in the middle of a message, without handing on the half', async () => {
    const call = new RawGrpcCall(bench.client, PROCESS_PATH);
    call.send(Buffer.from('x'));
    await call.next();
    call.write(framed(Buffer.alloc(1000)).subarray(0, 500));
    call.reset();
    await until(() => bench.exchanges[0]?.closings === 1);
    assert.equal(bench.exchanges[0]?.messages.length, 1);
  });

  it('closes every stream once when the connection is lost', async () => {
    for (let i = 0; i < 3; i++) {
      const call = new RawGrpcCall(bench.client, PROCESS_PATH);
      call.send(Buffer.from('x'));
      await call.next();
    }
    bench.client.destroy();
    await until(() => bench.exchanges.every(exchange => exchange.closings === 1));
    assert.equal(bench.exchanges.length, 3);
  });

  it('lets the handler end the stream: status 0, then silence', async () => {
    bench.onMessage = exchange => {
      exchange.stream.send(Buffer.from('last'));
      exchange.stream.end();
      exchange.stream.send(Buffer.from('never'));
      exchange.stream.end();
    };
    const call = new RawGrpcCall(bench.client, PROCESS_PATH);
    call.send(Buffer.from('x'));
    call.send(Buffer.from('y'));
    assert.equal(String(await call.next()), 'last');
    assert.equal(await call.status(), '0');
    call.end();
    await roundTrip(bench.client, () => bench.exchanges.length === 2);
    assert.deepEqual(bench.exchanges[0]?.messages.map(String), ['x']);
    assert.equal(bench.exchanges[0]?.closings, 1);
    assert.equal(call.waiting, 0);
  });
}

/** What fits through, and what does not. */
function suiteLimits(bench: TransportBench): void {
  it('serves more than 3,000 reset streams over one connection without a GOAWAY', async () => {
    const streams = 3_500;
    const abreast = 50;
    for (let i = 0; i < streams; i += abreast) {
      const calls = Array.from({ length: abreast }, () => new RawGrpcCall(bench.client, PROCESS_PATH));
      for (const call of calls) call.send(Buffer.from('x'));
      for (const call of calls) assert.equal(String(await call.next()), 'x');
      for (const call of calls) call.reset();
    }
    await until(() => bench.exchanges.every(exchange => exchange.closings === 1));
    assert.equal(bench.exchanges.length, streams);
    assert.equal(bench.goaways, 0);
  });

  it('takes a body of 32 MiB, and two of 20 MiB at once', async () => {
    bench.onMessage = (exchange, frame) => exchange.stream.send(Buffer.from(`${frame.length}`));
    const sizes = [32 * MEBIBYTE, 20 * MEBIBYTE, 20 * MEBIBYTE];
    const calls = sizes.map(size => {
      const call = new RawGrpcCall(bench.client, PROCESS_PATH);
      call.send(Buffer.alloc(size, size % 251));
      return call;
    });
    for (const [i, call] of calls.entries()) assert.equal(String(await call.next()), `${sizes[i]}`);
    for (const { messages } of bench.exchanges) {
      const body = messages[0] ?? assert.fail('no message');
      assert.ok(body.equals(Buffer.alloc(body.length, body.length % 251)));
    }
  });

  it('offers windows that a body of a megabyte fits into without waiting', async () => {
    await roundTrip(bench.client);
    assert.ok((bench.client.remoteSettings.initialWindowSize ?? 0) >= 16 * MEBIBYTE);
    await until(() => (bench.client.state.remoteWindowSize ?? 0) >= 64 * MEBIBYTE);
  });

  it('refuses a message above the limit, and only that stream', async () => {
    const other = new RawGrpcCall(bench.client, PROCESS_PATH);
    other.send(Buffer.from('x'));
    await other.next();
    const call = new RawGrpcCall(bench.client, PROCESS_PATH);
    call.write(Buffer.from([0, 0xff, 0xff, 0xff, 0xff]));
    assert.equal(await call.status(), '8');
    await until(() => bench.exchanges[1]?.closings === 1);
    assert.equal(bench.exchanges[1]?.messages.length, 0);
    other.send(Buffer.from('still here'));
    assert.equal(String(await other.next()), 'still here');
  });
}

/** Access log streams. */
function suiteAccessLogs(bench: TransportBench): void {
  it('hands on access log entries with the name that the first message of the stream gave', async () => {
    const end = new RawGrpcCall(bench.client, ACCESS_LOG_PATH);
    const attempt = new RawGrpcCall(bench.client, ACCESS_LOG_PATH);
    end.send(batch('end', 1, 2));
    attempt.send(batch('attempt', 3));
    end.send(batch('', 4));
    await until(() => bench.batches.length === 3);
    const inOrder = bench.batches.toSorted(
      (a, b) => a.entries.length - b.entries.length || (a.logName < b.logName ? -1 : 1),
    );
    assert.deepEqual(
      inOrder.map(({ logName, entries }) => [logName, entries.length]),
      [
        ['attempt', 1],
        ['end', 1],
        ['end', 2],
      ],
    );
  });

  it('ends an access log stream that speaks nonsense, and only that', async () => {
    const nonsense = new RawGrpcCall(bench.client, ACCESS_LOG_PATH);
    nonsense.send(Buffer.from([0x0a, 0x7f, 0x01]));
    assert.equal(await nonsense.status(), '3');
    const good = new RawGrpcCall(bench.client, ACCESS_LOG_PATH);
    good.send(batch('end', 1));
    await until(() => bench.batches.length === 1);
  });
}

/** The socket, and the end of the whole service. */
function suiteService(bench: TransportBench): void {
  it('drains: ends every open stream cleanly, then lets nobody in', async () => {
    const calls = Array.from({ length: 20 }, () => new RawGrpcCall(bench.client, PROCESS_PATH));
    for (const call of calls) call.send(Buffer.from('x'));
    for (const call of calls) await call.next();
    const log = new RawGrpcCall(bench.client, ACCESS_LOG_PATH);
    log.send(batch('end', 1));
    await until(() => bench.batches.length === 1);
    const drained = bench.transport.drain();
    for (const call of [...calls, log]) assert.equal(await call.status(), '0');
    assert.ok(bench.exchanges.every(exchange => exchange.closings === 1));
    for (const call of [...calls, log]) call.end();
    await drained;
    await assert.rejects(connectOnce(bench.path));
    await bench.start();
  });

  it('drains although the peer never lets go of its streams', async () => {
    const call = new RawGrpcCall(bench.client, PROCESS_PATH);
    call.send(Buffer.from('x'));
    await call.next();
    await bench.transport.drain();
    assert.equal(bench.exchanges[0]?.closings, 1);
    await bench.start();
  });

  it('opens its socket to its own user only', () => {
    assert.equal(statSync(bench.path).mode & 0o777, 0o600);
  });
}

/** A batch of entries with these status codes. */
function batch(logName: string, ...responseCodes: number[]): Uint8Array {
  const logEntry = responseCodes.map(responseCode => ({ response: { responseCode } }));
  return toBinary(
    StreamAccessLogsMessageSchema,
    create(StreamAccessLogsMessageSchema, {
      ...(logName === '' ? {} : { identifier: { logName } }),
      logEntries: { case: 'httpLogs', value: { logEntry } },
    }),
  );
}

/** When this resolves, the server has seen everything that was sent before on this connection. */
async function roundTrip(client: ClientHttp2Session, seen: () => boolean = () => true): Promise<void> {
  const call = new RawGrpcCall(client, PROCESS_PATH);
  call.send(Buffer.from('ping'));
  await call.next();
  call.end();
  await call.status();
  await until(seen);
}

async function connectOnce(path: string): Promise<void> {
  const socket = connectSocket(path);
  await once(socket, 'connect');
  socket.destroy();
}
