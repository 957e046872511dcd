import { type SimPod, startPods } from '../../../sim/pod.ts';
import { freePorts } from './free-ports.ts';
import { Gateway, type GatewayOptions, model } from './gateway.ts';

export const LLAMA = 'meta-llama/Llama-3.1-8B-Instruct';
/** What its pods call the model that clients know as `public-name`. */
export const UPSTREAM_NAME = 'internal/name "fp8"';

/** A gateway before one pod of each kind of model, for what needs no more than that. */
export class Fleet {
  readonly gateway: Gateway;
  /** Serves `LLAMA` (aliases llama and team/llama, version 2) and `public-name`. */
  readonly chat: SimPod;
  /** Serves `BAAI/bge-m3`. */
  readonly embeddings: SimPod;
  /** Serves `openai/whisper`, under another name. */
  readonly speech: SimPod;

  private constructor(gateway: Gateway, [chat, embeddings, speech]: readonly [SimPod, SimPod, SimPod]) {
    this.gateway = gateway;
    this.chat = chat;
    this.embeddings = embeddings;
    this.speech = speech;
  }

  static async start(options: Omit<GatewayOptions, 'resources'> = {}): Promise<Fleet> {
    const pods = (await startPods([
      { name: 'chat-0', models: [LLAMA, UPSTREAM_NAME], timeScale: 20 },
      { name: 'embeddings-0', models: ['BAAI/bge-m3'], timeScale: 20 },
      { name: 'speech-0', models: ['whisper-large'], timeScale: 20 },
    ])) as [SimPod, SimPod, SimPod];
    const [chat, embeddings, speech] = pods.map(pod => [pod.endpoint]) as [string[], string[], string[]];
    const [nobody] = await freePorts(1);
    try {
      const gateway = await Gateway.start({
        ...options,
        resources: [
          model('llama', chat, {
            model: LLAMA,
            aliases: ['llama', 'team/llama', 'lama été'],
            version: '2',
            maxContextLength: 8192,
            ownedBy: 'acme',
          }),
          model('renamed', chat, {
            model: 'public-name',
            backend: { model: UPSTREAM_NAME },
            routing: { strategy: 'random', clientMayChoose: false },
          }),
          model('bge', embeddings, { model: 'BAAI/bge-m3', type: 'text-embeddings' }),
          model('whisper', speech, {
            model: 'openai/whisper',
            type: 'automatic-speech-recognition',
            backend: { model: 'whisper-large' },
          }),
          model('nobody', [`127.0.0.1:${nobody}`]),
        ],
      });
      return new Fleet(gateway, pods);
    } catch (error) {
      await Promise.all(pods.map(pod => pod.close()));
      throw error;
    }
  }

  /** Requests that reached any pod so far. */
  get requestCount(): number {
    return [this.chat, this.embeddings, this.speech].reduce(
      (sum, { requests }) => sum + (requests.at(-1)?.number ?? -1) + 1,
      0,
    );
  }

  async close(): Promise<void> {
    await this.gateway.close();
    await Promise.all([this.chat, this.embeddings, this.speech].map(pod => pod.close()));
  }
}
