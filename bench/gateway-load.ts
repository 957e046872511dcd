import { readFileSync } from 'node:fs';
import { Agent, request } from 'node:http';

/** /proc/<pid>/stat counts in clock ticks of 10 ms on every Linux that Node runs on. */
const US_PER_TICK = 10_000;

/** What is asked again and again. */
export interface Load {
  readonly url: string;
  readonly promptBytes: number;
  /** Of the client, besides those of the body. */
  readonly headers?: Readonly<Record<string, string>>;
  readonly connections: number;
  readonly seconds: number;
}

/** What a load cost: CPU time from /proc, which hardly depends on what else the machine does. */
export interface Cost {
  readonly requests: number;
  readonly 'Envoy µs': number;
  readonly 'extproc µs': number;
  /** Milliseconds from request to the end of the answer. */
  readonly p50: number;
  readonly p99: number;
}

/** Loads `url` for some seconds and divides the CPU time of the processes by the requests. */
export async function cost(load: Load, envoy: number, extproc?: number): Promise<Cost> {
  await run({ ...load, seconds: 1 });
  const before = [cpuUs(envoy), extproc === undefined ? 0 : cpuUs(extproc)] as const;
  const took = (await run(load)).sort((a, b) => a - b);
  const requests = took.length;
  const perRequest = (pid: number | undefined, start: number) =>
    pid === undefined ? 0 : Math.round((cpuUs(pid) - start) / requests);
  const percentile = (share: number) => Number((took[Math.floor(requests * share)] ?? 0).toFixed(2));
  return {
    requests,
    'Envoy µs': perRequest(envoy, before[0]),
    'extproc µs': perRequest(extproc, before[1]),
    p50: percentile(0.5),
    p99: percentile(0.99),
  };
}

/** How long each request took, milliseconds. */
async function run({ url, promptBytes, headers = {}, connections, seconds }: Load): Promise<number[]> {
  const body = JSON.stringify({ model: 'm', messages: [{ role: 'user', content: 'x'.repeat(promptBytes) }] });
  const agent = new Agent({ keepAlive: true, maxSockets: connections });
  const endMs = performance.now() + seconds * 1000;
  const took: number[] = [];
  const client = async () => {
    while (performance.now() < endMs) {
      const startMs = performance.now();
      await post(url, headers, body, agent);
      took.push(performance.now() - startMs);
    }
  };
  await Promise.all(Array.from({ length: connections }, client));
  agent.destroy();
  return took;
}

function post(url: string, more: Readonly<Record<string, string>>, body: string, agent: Agent): Promise<void> {
  return new Promise((resolve, reject) => {
    const headers = { 'content-type': 'application/json', 'content-length': body.length, ...more };
    const outgoing = request(url, { method: 'POST', agent, headers }, response => {
      if (response.statusCode !== 200) reject(new Error(`answered ${response.statusCode}`));
      response.resume().on('end', resolve);
    });
    outgoing.on('error', reject);
    outgoing.end(body);
  });
}

/** CPU time that a process has used, microseconds: fields 14 and 15 of proc_pid_stat(5). */
function cpuUs(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) * US_PER_TICK;
}
