import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { withParentDeathSignal } from '../../../cli/process/parent-death.ts';
import { attachToBridge, GATEWAY_ADDRESS } from './pod-network.ts';

/** Says that it is there, waits until it is tied to the network, sets that up, and stays for as long as we do. */
const PAUSE = `
echo; read -r address
ip -batch - <<END
link set lo up
address add "$address/16" dev eth0
link set eth0 up
route add default via ${GATEWAY_ADDRESS}
END
echo; exec cat`;

/** The network namespace that the containers of a pod share, held by a process that does nothing. */
export class Sandbox {
  readonly address: string;
  readonly #process: ChildProcess;

  private constructor(address: string, child: ChildProcess) {
    this.address = address;
    this.#process = child;
  }

  static async start(address: string): Promise<Sandbox> {
    const [command, ...args] = withParentDeathSignal(['unshare', '--net', 'sh', '-ec', PAUSE]);
    const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'pipe'] });
    // One that ends early is told of below.
    child.stdin.on('error', () => undefined);
    let complaints = '';
    child.stderr.setEncoding('utf8').on('data', chunk => {
      complaints += chunk;
    });
    const gone = once(child, 'close').then(() => {
      throw new Error(`no sandbox: ${complaints}`);
    });
    gone.catch(() => undefined);
    await Promise.race([once(child.stdout, 'data'), gone]);
    await attachToBridge(child.pid ?? 0);
    child.stdin.write(`${address}\n`);
    await Promise.race([once(child.stdout, 'data'), gone]);
    return new Sandbox(address, child);
  }

  /** The file that names it for nsenter(1). */
  get networkNamespace(): string {
    return `/proc/${this.#process.pid}/ns/net`;
  }

  stop(): void {
    this.#process.kill('SIGKILL');
  }
}
