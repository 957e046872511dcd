import { request as httpRequest } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { connect } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import type { Container } from './container.ts';
import type { ContainerSpec, Handler } from './pod-object.ts';

/** What a handler is done to. */
export interface HandlerTarget {
  readonly spec: ContainerSpec;
  readonly container: Container;
  readonly podIp: string;
}

/**
 * Does what a probe or lifecycle hook says: undefined when that went well, else what went wrong. Never rejects;
 * aborting ends it. `grpc` is not supported.
 */
export async function runHandler(
  handler: Handler,
  { spec, container, podIp }: HandlerTarget,
  signal: AbortSignal,
): Promise<string | undefined> {
  const { exec, httpGet, tcpSocket, sleep } = handler;
  try {
    signal.throwIfAborted();
    if (exec) {
      const { exitCode, output } = await container.exec(exec.command ?? [], signal);
      return exitCode === 0 ? undefined : `exit code ${exitCode}: ${output.trim()}`;
    }
    if (httpGet) return await httpFailure(httpGet, podIp, portOf(spec, httpGet.port), signal);
    if (tcpSocket) return await tcpFailure(tcpSocket.host ?? podIp, portOf(spec, tcpSocket.port), signal);
    if (sleep) return await delay(sleep.seconds * 1_000, undefined, { signal });
    return 'not supported';
  } catch (error) {
    return signal.aborted ? 'timeout' : String(error);
  }
}

/** Every status from 200 to 399 is a success; certificates are not looked at. */
function httpFailure(
  { host, path = '/', scheme, httpHeaders = [] }: NonNullable<Handler['httpGet']>,
  podIp: string,
  port: number,
  signal: AbortSignal,
): Promise<string | undefined> {
  const headers = Object.fromEntries(httpHeaders.map(({ name, value }) => [name, value]));
  const options = { host: host ?? podIp, port, path, headers, signal, agent: false as const };
  const { promise, resolve, reject } = Promise.withResolvers<string | undefined>();
  const request = scheme === 'HTTPS' ? httpsRequest({ ...options, rejectUnauthorized: false }) : httpRequest(options);
  request.on('response', response => {
    const { statusCode = 0 } = response;
    response.on('error', reject).on('close', () => {
      resolve(statusCode >= 200 && statusCode < 400 ? undefined : `HTTP probe failed with statuscode: ${statusCode}`);
    });
    response.resume();
  });
  request.on('error', reject).end();
  return promise;
}

function tcpFailure(host: string, port: number, signal: AbortSignal): Promise<string | undefined> {
  const { promise, resolve, reject } = Promise.withResolvers<string | undefined>();
  const socket = connect({ host, port, signal });
  socket.on('error', reject).on('connect', () => {
    socket.destroy();
    resolve(undefined);
  });
  return promise;
}

function portOf({ ports = [] }: ContainerSpec, port: number | string): number {
  if (typeof port === 'number') return port;
  const named = ports.find(({ name }) => name === port)?.containerPort;
  if (named === undefined) throw new Error(`no port is named ${port}`);
  return named;
}
