import { clone, equals } from '@bufbuild/protobuf';
import type { ChannelCredentials } from '@grpc/grpc-js';
import { type NodeReport, NodeReportSchema } from '../../proto/gen/fairlead/v1/report_pb.js';
import { reportMethod } from '../../proto/report-method.ts';
import { keepStreamOpen } from '../../xds/reconnecting-stream.ts';

interface ReporterOptions {
  /** The control plane: "unix:/path" or "host:port". */
  readonly address: string;
  /** Asked for every attempt to connect; without it nothing is encrypted. */
  readonly credentials?: (() => ChannelCredentials) | undefined;
  readonly signal: AbortSignal;
}

/** Keeps the control plane informed of this node: the last report goes out when it changes and whenever a stream opens. */
export class Reporter {
  #last: NodeReport | undefined;
  #send: ((report: NodeReport) => void) | undefined;

  constructor({ address, credentials, signal }: ReporterOptions) {
    keepStreamOpen({
      address,
      credentials,
      signal,
      method: reportMethod,
      opened: send => {
        this.#send = send;
        if (this.#last !== undefined) send(this.#last);
      },
      received: () => {
        // The summary says nothing.
      },
      connected: () => {
        // Nothing was lost: the report went out with the stream.
      },
      disconnected: () => {
        this.#send = undefined;
      },
    });
  }

  /** What this node says from now on; the same as before is not said again. */
  report(report: NodeReport): void {
    if (this.#last !== undefined && equals(NodeReportSchema, this.#last, report)) return;
    this.#last = clone(NodeReportSchema, report);
    this.#send?.(this.#last);
  }
}
