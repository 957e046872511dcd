import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { text } from 'node:stream/consumers';
import { z } from 'zod';
import { faultSchema } from './faults.ts';
import type { SimPod } from './pod.ts';
import { recordAsJson } from './recorder.ts';

/** `pod` says which one; all of them where it is missing. */
const orderSchema = z.strictObject({ pod: z.string().optional(), fault: faultSchema });

interface Outcome {
  readonly status: number;
  readonly value: object;
}

/**
 * A listener apart from the pods', so that one that refuses connections can still be told to stop that:
 * `GET /sim/pods`, `GET /sim/requests?pod=NAME`, `POST /sim/faults {"pod": NAME, "fault": {"kind": …}}`,
 * `DELETE /sim/faults?pod=NAME`.
 *
 * @param fleet asked at each request which pods there are
 * @param place `host:port`
 * @param signal closes it
 * @returns the address it listens on
 */
export async function serveControl(
  fleet: { readonly pods: readonly SimPod[] },
  place: string,
  { signal }: { signal: AbortSignal },
): Promise<string> {
  const [host, port] = splitPlace(place);
  const server = createServer((request, response) => void answer(request, response, fleet.pods));
  await new Promise<void>((resolve, reject) => {
    server.once('error', error => reject(new Error(`the control listener cannot have ${place}: ${error.message}`)));
    server.listen({ host, port, signal }, resolve);
  });
  signal.addEventListener('abort', () => server.closeAllConnections(), { once: true });
  const bound = server.address();
  return typeof bound === 'object' && bound ? `${bound.address}:${bound.port}` : place;
}

async function answer(request: IncomingMessage, response: ServerResponse, pods: readonly SimPod[]): Promise<void> {
  const url = new URL(request.url ?? '/', 'http://sim');
  const name = url.searchParams.get('pod') ?? undefined;
  const key = `${request.method} ${url.pathname}`;
  const { status, value } = await act(key, name, pods, () => text(request));
  response.writeHead(status, { 'content-type': 'application/json' }).end(`${JSON.stringify(value)}\n`);
}

async function act(
  key: string,
  name: string | undefined,
  pods: readonly SimPod[],
  body: () => Promise<string>,
): Promise<Outcome> {
  switch (key) {
    case 'GET /sim/pods':
      return { status: 200, value: pods.map(({ name, endpoint, models, load }) => ({ name, endpoint, models, load })) };
    case 'GET /sim/requests':
      return onPods(pods, name, pod => ({ pod: pod.name, requests: pod.requests.map(recordAsJson) }));
    case 'DELETE /sim/faults':
      return onPods(pods, name, async pod => {
        await pod.clearFaults();
        return pod.name;
      });
    case 'POST /sim/faults':
      return orderFault(pods, await body());
    default:
      return wrong(404, `nothing answers ${key}`);
  }
}

function orderFault(pods: readonly SimPod[], body: string): Outcome | Promise<Outcome> {
  let order: z.infer<typeof orderSchema>;
  try {
    order = orderSchema.parse(JSON.parse(body));
  } catch (error) {
    return wrong(400, error instanceof z.ZodError ? z.prettifyError(error) : 'the body is not JSON');
  }
  return onPods(pods, order.pod, pod => {
    pod.fault(order.fault);
    return pod.name;
  });
}

/** Does something to the named pod, or to all. */
async function onPods(
  pods: readonly SimPod[],
  name: string | undefined,
  act: (pod: SimPod) => object | string | Promise<object | string>,
): Promise<Outcome> {
  const chosen = name === undefined ? pods : pods.filter(pod => pod.name === name);
  if (chosen.length === 0) return wrong(404, `no pod is called ${name}`);
  try {
    return { status: 200, value: await Promise.all(chosen.map(act)) };
  } catch (error) {
    return wrong(409, error instanceof Error ? error.message : String(error));
  }
}

function wrong(status: number, message: string): Outcome {
  return { status, value: { error: message } };
}

function splitPlace(place: string): [host: string, port: number] {
  const colon = place.lastIndexOf(':');
  const port = Number(place.slice(colon + 1));
  if (colon < 1 || !Number.isInteger(port) || port < 0 || port > 65_535) {
    throw new Error(`${place} is not host:port`);
  }
  return [place.slice(0, colon), port];
}
