import { serveGrpcJs } from './grpc-js-transport.ts';
import { socketFileSuite } from './socket-file.suite.ts';
import { transportSuite } from './transport.suite.ts';

transportSuite('grpc-js', serveGrpcJs);
socketFileSuite('grpc-js', serveGrpcJs);
