import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { create } from '@bufbuild/protobuf';
import { Metadata, type ServerDuplexStream } from '@grpc/grpc-js';
import { type NodeReport, NodeReportSchema, type ReportSummary } from '../../proto/gen/fairlead/v1/report_pb.js';
import { reportMethod } from '../../proto/report-method.ts';
import { createGrpcServer, listenGrpc } from '../../xds/grpc-listen.ts';
import { Reporter } from './reporter.ts';

function report(tableVersion: string): NodeReport {
  return create(NodeReportSchema, { nodeId: 'node', tableVersion });
}

/** A control plane that writes down what it is told, stream by stream. */
class TestControlPlane {
  readonly address: string;
  readonly streams: string[][] = [];
  readonly #waiting = new Set<() => void>();
  #stop: () => Promise<void> = async () => {};

  constructor(address: string) {
    this.address = address;
  }

  async start(): Promise<void> {
    const server = createGrpcServer();
    const calls = new Set<ServerDuplexStream<NodeReport, ReportSummary>>();
    server.addService(
      { report: reportMethod },
      {
        report: (call: ServerDuplexStream<NodeReport, ReportSummary>) => {
          calls.add(call);
          call.sendMetadata(new Metadata());
          const stream: string[] = [];
          this.streams.push(stream);
          call.on('error', () => {});
          call.on('data', (message: NodeReport) => {
            stream.push(message.tableVersion);
            for (const check of this.#waiting) check();
          });
        },
      },
    );
    const stopped = new AbortController();
    const { closed } = await listenGrpc(server, this.address, stopped.signal);
    this.#stop = () => {
      for (const call of calls) call.end();
      stopped.abort();
      return closed;
    };
  }

  stop(): Promise<void> {
    return this.#stop();
  }

  until(condition: () => boolean): Promise<void> {
    return new Promise(resolve => {
      const check = () => {
        if (condition()) resolve();
      };
      this.#waiting.add(check);
      check();
    });
  }
}

async function reporting(t: TestContext): Promise<{ controlPlane: TestControlPlane; reporter: Reporter }> {
  const directory = await mkdtemp(join(tmpdir(), 'fairlead-report-'));
  const controlPlane = new TestControlPlane(`unix:${join(directory, 'reports')}`);
  const stopped = new AbortController();
  const reporter = new Reporter({ address: controlPlane.address, signal: stopped.signal });
  t.after(async () => {
    stopped.abort();
    await controlPlane.stop();
    await rm(directory, { recursive: true });
  });
  return { controlPlane, reporter };
}

test('every change is told once, in order', async t => {
  const { controlPlane, reporter } = await reporting(t);
  await controlPlane.start();
  for (const version of ['1', '1', '2', '2', '3']) reporter.report(report(version));
  await controlPlane.until(() => controlPlane.streams.at(-1)?.at(-1) === '3');
  const told = controlPlane.streams.at(-1) ?? [];
  assert.deepEqual(told, ['1', '2', '3'].slice(-told.length));
});

test('a report is told again on every new stream, the last one only', async t => {
  const { controlPlane, reporter } = await reporting(t);
  reporter.report(report('1'));
  reporter.report(report('2'));
  await controlPlane.start();
  await controlPlane.until(() => controlPlane.streams.length === 1 && controlPlane.streams[0]?.at(-1) === '2');
  await controlPlane.stop();
  reporter.report(report('3'));
  await controlPlane.start();
  await controlPlane.until(() => controlPlane.streams[1]?.at(-1) === '3');
  assert.deepEqual(controlPlane.streams[1], ['3']);
});

test('a report changed in place by its owner afterwards is seen as a change', async t => {
  const { controlPlane, reporter } = await reporting(t);
  await controlPlane.start();
  const mutable = report('1');
  reporter.report(mutable);
  mutable.tableVersion = '2';
  reporter.report(mutable);
  await controlPlane.until(() => controlPlane.streams.at(-1)?.at(-1) === '2');
});
