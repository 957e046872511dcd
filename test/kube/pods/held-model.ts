import { type Installation, isReady } from './installation.ts';

const MODEL = 'held';

/** A model of one pod whose streams say a word a second until they are told to end, at another port. */
const PROGRAM = `
  const { createServer } = require('node:http');
  const held = new Set();
  const event = content => 'data: ' + JSON.stringify({ choices: [{ index: 0, delta: { content } }] }) + '\\n\\n';
  createServer((request, response) => {
    request.resume().once('end', () => {
      if (request.method === 'GET') return response.end();
      held.add(response.once('close', () => held.delete(response)));
      response.writeHead(200, { 'content-type': 'text/event-stream' }).write(event('begin'));
      const timer = setInterval(() => response.write(event(' on')), 1000);
      response.once('close', () => clearInterval(timer));
    });
  }).listen(8000);
  createServer((request, response) => {
    for (const one of held) one.end(event(' end') + 'data: [DONE]\\n\\n');
    response.end();
  }).listen(8001);
  process.on('SIGTERM', () => process.exit());`;

/** A stream that goes on until it is told to end. */
interface HeldStream {
  /** All that it said, when it has ended; rejects when it was cut. */
  readonly text: Promise<string>;
  readonly isOpen: boolean;
}

/** Streams that last as long as a test wants, whatever is done to the gateways meanwhile. */
export class HeldModel {
  readonly #installation: Installation;

  private constructor(installation: Installation) {
    this.#installation = installation;
  }

  /** Resolves when it is served. */
  static async apply(installation: Installation): Promise<HeldModel> {
    const labels = { app: MODEL };
    const container = {
      ...{ name: 'main', image: 'localhost/fairlead:0.1.0', command: ['node', '-e', PROGRAM] },
      readinessProbe: { httpGet: { path: '/', port: 8000 }, periodSeconds: 1 },
    };
    await installation.apply({
      ...{ apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name: MODEL } },
      spec: {
        selector: { matchLabels: labels },
        template: { metadata: { labels }, spec: { containers: [container] } },
      },
    });
    const backends = [{ name: 'pods', runtime: 'vllm', pods: { selector: { matchLabels: labels }, port: 8000 } }];
    await installation.apply({
      ...{ apiVersion: 'fairlead.dev/v1alpha1', kind: 'ModelDeployment', metadata: { name: MODEL } },
      spec: { model: MODEL, type: 'text-generation', backends },
    });
    await installation.kubectl(['wait', '--for=condition=Ready', `md/${MODEL}`, '--timeout=60s']);
    return new HeldModel(installation);
  }

  /** A stream that has begun, on a connection of its own. */
  async begin(): Promise<HeldStream> {
    const messages = [{ role: 'user', content: 'Hi' }];
    const response = await fetch(`${await this.#installation.url()}/v1/chat/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ model: MODEL, messages, stream: true }),
    });
    if (response.status !== 200) throw new Error(`${response.status} ${await response.text()}`);
    const stream = { text: response.text(), isOpen: true };
    const ended = () => {
      stream.isOpen = false;
    };
    stream.text.then(ended, ended);
    return stream;
  }

  /** Ends all streams as they should end. */
  async finish(): Promise<void> {
    const [pod] = await this.#installation.untilPods('its pod', `app=${MODEL}`, pods => pods.some(isReady));
    await (await fetch(`http://${pod?.status.podIP}:8001/`)).text();
  }
}
