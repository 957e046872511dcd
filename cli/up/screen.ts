import type { WriteStream } from 'node:tty';
import pc, { createColors } from 'picocolors';
import type { Plan } from '../../operator/plan/plan.ts';
import { AuthenticationMode } from '../../proto/gen/fairlead/v1/table_pb.js';
import { tableText } from '../ask/table-text.ts';
import { publicName, readiness } from './plan-changes.ts';

/** More models, or changes of models, than this are counted rather than shown. */
const MAX_SHOWN = 20;

/** What `fairlead up` shows a person: first where everything is, then one line for each thing that happens. */
export class Screen {
  readonly #out: WriteStream;
  readonly #paint: ReturnType<typeof createColors>;

  constructor(out: WriteStream) {
    this.#out = out;
    this.#paint = createColors(this.colour);
    // `| head` has read enough, or the terminal was closed: the gateway goes on without it.
    out.on('error', () => undefined);
  }

  /** Whether what is written here may have colours. */
  get colour(): boolean {
    return this.#out.isTTY === true && pc.isColorSupported;
  }

  /** Text as it is. */
  write(text: string): void {
    this.#out.write(text);
  }

  /** Something that happened just now. */
  event(line: string): void {
    this.write(`${this.#paint.dim(new Date().toLocaleTimeString('en-GB'))} ${line}\n`);
  }

  /** Something that happened just now and wants attention. */
  warn(line: string): void {
    this.event(this.#paint.yellow(line));
  }

  /** What is where, once everything answers. */
  banner(ready: ReadyGateway): void {
    const { plan, directory, logs } = ready;
    const { listeners, adminAddress, adminPort } = plan.gateway;
    const urls = listeners.map(({ address, port, tls }) => `${tls ? 'https' : 'http'}://${reachable(address)}:${port}`);
    const [base = ''] = urls;
    this.write(
      [
        '',
        this.#paint.bold('Fairlead is ready.'),
        '',
        ...urls.map(url => `  OpenAI API   ${this.#paint.cyan(`${url}/v1`)}   (${needed(plan)})`),
        `  Metrics      http://${reachable(adminAddress)}:${adminPort}/metrics`,
        `  Logs         ${logs}`,
        '',
        indent(modelTable(plan)),
        ...tryIt(base, plan),
        `  Following changes in ${directory}. Ctrl-C stops.`,
        '',
        '',
      ].join('\n'),
    );
  }
}

/** What the banner tells about. */
interface ReadyGateway {
  readonly plan: Plan;
  readonly directory: string;
  readonly logs: string;
}

/** The models with their endpoints, in columns. */
function modelTable(plan: Plan): string {
  if (plan.models.size === 0) return 'No models yet: add a ModelDeployment to the directory.\n';
  const text = tableText(
    ['model', 'type', 'aliases', 'ready', 'strategy'],
    [...plan.models]
      .slice(0, MAX_SHOWN)
      .map(([key, model]) => [
        publicName(model),
        model.type,
        model.aliases.join(', '),
        readiness(plan, key),
        model.strategy,
      ]),
  );
  return text + more(plan.models.size);
}

/** The first of the lines, and how many more there are. */
export function atMost(lines: readonly string[]): string[] {
  return [...lines.slice(0, MAX_SHOWN), more(lines.length).trimEnd()].filter(line => line !== '');
}

function more(count: number): string {
  if (count <= MAX_SHOWN) return '';
  return `… and ${(count - MAX_SHOWN).toLocaleString('en')} more: fairlead models\n`;
}

/** A first request that works as it stands, for a model that has an endpoint. */
function tryIt(base: string, plan: Plan): string[] {
  if (isClosed(plan)) return [];
  const chat = [...plan.models].find(
    ([key, model]) => model.type === 'text-generation' && (plan.statuses.get(key)?.endpoints.ready ?? 0) > 0,
  );
  if (!chat) return [];
  const name = chat[1].aliases[0] ?? chat[1].id;
  const credential = credentialOf(plan) === undefined ? '' : ` -H "authorization: Bearer $${VARIABLE}"`;
  return [
    '  Try it:',
    `    curl ${base}/v1/chat/completions -H 'content-type: application/json'${credential} \\`,
    `      -d '{"model": "${name}", "messages": [{"role": "user", "content": "Hello"}]}'`,
    '',
  ];
}

/** Where the example has the credential from. */
const VARIABLE = 'KEY';

/** What callers must show; undefined where nothing is asked for. */
function credentialOf({ gateway: { authentication } }: Plan): string | undefined {
  switch (authentication?.mode) {
    case AuthenticationMode.AUTHENTICATION_API_KEYS:
      return 'an API key';
    case AuthenticationMode.AUTHENTICATION_JWT:
      return 'a token';
    case AuthenticationMode.AUTHENTICATION_API_KEYS_OR_JWT:
      return 'an API key or a token';
    default:
      return undefined;
  }
}

function isClosed({ gateway: { authentication } }: Plan): boolean {
  return authentication?.mode === AuthenticationMode.AUTHENTICATION_MODE_UNSPECIFIED;
}

function needed(plan: Plan): string {
  if (isClosed(plan)) return 'nobody may call: see above';
  const credential = credentialOf(plan);
  if (credential === undefined) return 'no key needed';
  const consumers = plan.consumers.size === 1 ? '1 consumer' : `${plan.consumers.size.toLocaleString('en')} consumers`;
  return `asks for ${credential}; ${consumers}`;
}

/** An address that a client on this machine can use. */
function reachable(address: string): string {
  if (address === '0.0.0.0') return '127.0.0.1';
  return address.includes(':') ? `[${address === '::' ? '::1' : address}]` : address;
}

function indent(text: string): string {
  return text.replace(/^(?=.)/gm, '  ');
}
