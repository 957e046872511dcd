import { Metadata, type Server, type ServerDuplexStream, status } from '@grpc/grpc-js';
import type { NodeReport, ReportSummary } from '../../proto/gen/fairlead/v1/report_pb.js';
import { reportMethod } from '../../proto/report-method.ts';

type Call = ServerDuplexStream<NodeReport, ReportSummary>;

/** What agents say of themselves: the last report of each one whose stream is open. */
export class ReportCollector {
  readonly #calls = new Map<Call, NodeReport | undefined>();
  readonly #changed: () => void;

  /** `changed` is called after every report, and when a stream ends. */
  constructor(changed: () => void) {
    this.#changed = changed;
  }

  /** Adds the report service to a gRPC server that is not listening yet. */
  addTo(server: Server): void {
    server.addService({ report: reportMethod }, { report: (call: Call) => this.#accept(call) });
  }

  /** By node id. Of two streams of one node the later counts. */
  reports(): ReadonlyMap<string, NodeReport> {
    const reports = new Map<string, NodeReport>();
    for (const report of this.#calls.values()) if (report !== undefined) reports.set(report.nodeId, report);
    return reports;
  }

  /** Ends all streams; clients are told to try again. */
  disconnectAll(details: string): void {
    for (const call of this.#calls.keys()) {
      call.emit('error', Object.assign(new Error(details), { code: status.UNAVAILABLE, details }));
    }
  }

  #accept(call: Call): void {
    this.#calls.set(call, undefined);
    // Headers at once, or the client could not tell that it is connected.
    call.sendMetadata(new Metadata());
    call.on('data', (report: NodeReport) => {
      if (!this.#calls.has(call)) return;
      this.#calls.set(call, report);
      this.#changed();
    });
    const drop = () => {
      if (this.#calls.delete(call)) this.#changed();
    };
    call.on('end', () => {
      call.write({ $typeName: 'fairlead.v1.ReportSummary' });
      call.end();
    });
    for (const event of ['end', 'cancelled', 'close', 'error']) call.on(event, drop);
  }
}
