import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import type { MethodDefinition } from '@grpc/grpc-js';
import {
  type NodeReport,
  NodeReportSchema,
  type ReportSummary,
  ReportSummarySchema,
} from './gen/fairlead/v1/report_pb.js';

/** ReportService.Report for grpc-js, as a stream both ways: its one response comes when the client has ended. */
export const reportMethod: MethodDefinition<NodeReport, ReportSummary> = {
  path: '/fairlead.v1.ReportService/Report',
  requestStream: true,
  responseStream: true,
  requestSerialize: report => Buffer.from(toBinary(NodeReportSchema, report)),
  requestDeserialize: bytes => fromBinary(NodeReportSchema, bytes),
  responseSerialize: () => Buffer.from(toBinary(ReportSummarySchema, create(ReportSummarySchema))),
  responseDeserialize: bytes => fromBinary(ReportSummarySchema, bytes),
};
