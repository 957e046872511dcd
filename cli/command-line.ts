import { Command, InvalidArgumentError, Option } from 'commander';
import { VERSION } from './version.ts';

/** The same everywhere, since the reference is made from it. */
const HELP_WIDTH = 100;
const DEFAULT_ADMIN = 'http://127.0.0.1:8889';

/**
 * The command line. Each command's module is loaded when it runs, so that `fairlead models` does not wait for what only
 * `fairlead up` needs.
 */
export function commandLine(): Command {
  const program = new Command('fairlead')
    .description('One address for every model: an OpenAI-compatible gateway on Envoy that picks the right pod.')
    .version(VERSION, '-v, --version')
    .configureHelp({ helpWidth: HELP_WIDTH })
    .showHelpAfterError('(--help for more)')
    .exitOverride();
  for (const add of [
    addUp,
    addValidate,
    addModels,
    addExplain,
    addKeys,
    addSim,
    addOperator,
    addExtproc,
    addEnvoy,
    addDrain,
    addSetup,
  ])
    add(program);
  return program;
}

function addUp(program: Command): void {
  program
    .command('up')
    .description('run the whole gateway on this machine from a directory of YAML, and follow its changes')
    .argument('<dir>', 'directory with ModelDeployments, and Pods where they are known')
    .option('--sim', 'also simulate the pods that the directory declares')
    .option('--sim-control <host:port>', 'where faults of simulated pods are ordered, with --sim')
    .option('--concurrency <n>', "Envoy's worker threads (default: one per core)", wholeNumber)
    .option('--log-level <level>', 'debug tells every pick', logLevel, 'info')
    .option(
      '--log-dir <dir>',
      'where the logs, and what budgets have spent, go (default: under ~/.local/state/fairlead)',
    )
    .option('--usage-records <file>', 'also write what each request took, a line of JSON each')
    .action(async (dir, options, command) => {
      if (options.simControl && !options.sim) command.error('error: --sim-control is of use with --sim only');
      const { up } = await import('./up/up.ts');
      process.exitCode = await up(dir, options);
    });
}

function addValidate(program: Command): void {
  program
    .command('validate')
    .description('check files and directories as `up` and the cluster do')
    .argument('<path...>')
    .option('-o, --output <format>', 'text or json', outputFormat, 'text')
    .action(async (paths, { output }) => {
      const { validate } = await import('./validate.ts');
      process.exitCode = await validate(paths, { output, out: process.stdout, err: process.stderr });
    });
}

function addModels(program: Command): void {
  program
    .command('models')
    .description('list the models that a running gateway serves')
    .option('--admin <url>', 'admin address of the gateway', adminUrl, DEFAULT_ADMIN)
    .option('-o, --output <format>', 'text or json', outputFormat, 'text')
    .action(async options => {
      const { models } = await import('./ask/models.ts');
      process.stdout.write(await models(options));
    });
}

function addExplain(program: Command): void {
  program
    .command('explain')
    .description('why a request goes where it goes: table, endpoints, ejections, last failures')
    .argument('[model]', 'id or alias; without it, the state of the gateway', modelName)
    .option('--admin <url>', 'admin address of the gateway', adminUrl, DEFAULT_ADMIN)
    .option('-o, --output <format>', 'text or json', outputFormat, 'text')
    .action(async (model, options) => {
      const { explain } = await import('./ask/explain.ts');
      const { text, found } = await explain(model, options);
      process.stdout.write(text);
      if (!found) process.exitCode = 1;
    });
}

function addKeys(program: Command): void {
  const keys = program.command('keys').description('make API keys of Consumers');
  keys
    .command('new')
    .description('make an API key: shows it once, with what its Consumer is to have of it; keeps it nowhere')
    .option('--consumer <name>', 'show the whole Consumer; [namespace/]name')
    .option('--name <label>', 'what people call the key (default: by its digest)')
    .option('--expires <when>', 'such as 90d, or 2027-01-31 (default: never)')
    .option(
      '-o, --output <format>',
      'text, json, or yaml for the Consumer alone: the key then goes to standard error',
      keyFormat,
      'text',
    )
    .action(async options => {
      const { printNewKey } = await import('./keys.ts');
      const random = crypto.getRandomValues(new Uint8Array(32));
      process.exitCode = printNewKey({
        ...options,
        random,
        nowMs: Date.now(),
        out: process.stdout,
        err: process.stderr,
      });
    });
  keys
    .command('digest')
    .description('the SHA-256, for a Consumer, of a key that there is already; reads it from standard input')
    .action(async () => {
      const { printDigest } = await import('./keys.ts');
      process.exitCode = await printDigest({ input: process.stdin, out: process.stdout, err: process.stderr });
    });
}

function addSim(program: Command): void {
  program
    .command('sim')
    .description(
      'simulate the vLLM pods that Pod documents with sim.fairlead.dev/ annotations declare, and follow their changes; ' +
        'or one pod, for a container',
    )
    .argument('[path]')
    .option('--control <host:port>', 'where faults are ordered')
    .option('--model <name...>', 'instead of a path: the one pod serves these')
    .option('--listen <host:port>', 'where the one pod serves (default: 0.0.0.0:8000)', hostPort)
    .action(async (path, { control, model, listen }, command) => {
      if ((path === undefined) === (model === undefined)) command.error('error: it needs either a path or --model');
      if (model && control) command.error('error: --control is of use with a path only');
      if (listen && !model) command.error('error: --listen is of use with --model only');
      const { runSim, runSimPod } = await import('./sim.ts');
      const { untilStopped } = await import('./process/stop-signal.ts');
      const signal = untilStopped();
      const log = (line: string) => process.stdout.write(`${line}\n`);
      const complain = (line: string) => process.stderr.write(`${line}\n`);
      if (model) await runSimPod({ models: model, listen: listen ?? { host: '0.0.0.0', port: 8000 }, signal, log });
      else await runSim(path, { signal, log, complain, ...(control && { control }) });
    });
}

function addOperator(program: Command): void {
  program
    .command('operator')
    .description('the control plane alone: publishes a directory, or a Kubernetes cluster, to agents')
    .argument('[dir]', 'without it, the cluster that KUBECONFIG or the pod that this runs in belongs to')
    .option('--namespace <name...>', 'namespaces of the cluster to follow (default: all)')
    .requiredOption('--listen <address>', 'unix:/path or host:port for agents')
    .option('--insecure', 'listen where other machines reach it: nobody is authenticated, nothing encrypted')
    .option('--health <host:port>', 'where /livez, /readyz and /metrics answer')
    .option('--lease <namespace/name>', 'Lease by which replicas find their leader', objectName)
    .option(
      '--pod <namespace/name>',
      'the pod that this runs in, labelled fairlead.dev/leader while it leads',
      objectName,
    )
    .option('--tls-secret <namespace/name>', 'Secret of the certificate that agents see, made and renewed', objectName)
    .option('--tls-name <name...>', 'names by which agents reach this operator')
    .option('--agent-account <namespace/name>', 'ServiceAccount whose tokens agents must show', objectName)
    .option('--log-level <level>', 'debug, info, warn or error', logLevel, 'info')
    .action(async (dir, options, command) => {
      const { optionsProblem } = await import('./node/operator-options.ts');
      const problem = optionsProblem(dir, options);
      if (problem !== undefined) command.error(`error: ${problem}`);
      const { runOperator } = await import('./node/operator.ts');
      await runOperator(dir, options);
    });
}

function addExtproc(program: Command): void {
  program
    .command('extproc')
    .description('the data plane beside one Envoy: ext_proc, access log and the agent')
    .requiredOption('--control-plane <address>', 'unix:/path or host:port of the operator')
    .option('--control-plane-ca <file>', "authorities of the operator's certificate, read for every connection")
    .option('--control-plane-token <file>', 'token to show to the operator, read for every connection')
    .requiredOption('--run-dir <dir>', 'directory shared with this Envoy')
    .option('--node-id <name>', 'name of this node in reports', 'node')
    .option('--access-log <file>', "Envoy's JSON access log", '/dev/stdout')
    .option('--usage-records <file>', 'what each request took, a line of JSON each: a file, or stdout')
    .option('--counters-file <file>', 'where what is counted in memory survives a restart')
    .option('--probe-listen <host:port>', 'where /livez and /readyz answer, also before there is a table', hostPort)
    .addOption(
      new Option('--stop-grace <duration>', 'how long SIGTERM waits for Envoy to end first')
        .argParser(milliseconds)
        .default(0, '0s'),
    )
    .option('--log-level <level>', 'debug tells every pick', logLevel, 'info')
    .action(async (options, command) => {
      if ((options.controlPlaneCa === undefined) !== (options.controlPlaneToken === undefined)) {
        command.error('error: --control-plane-ca and --control-plane-token belong together: a token is for TLS only');
      }
      const { runExtproc } = await import('./node/extproc.ts');
      await runExtproc(options);
    });
}

function addEnvoy(program: Command): void {
  program
    .command('envoy')
    .description('Envoy with the bootstrap that finds its agent in the run directory')
    .requiredOption('--run-dir <dir>', 'directory shared with extproc')
    .option('--node-id <name>', 'name of this node, as extproc has it', 'node')
    .option('--concurrency <n>', 'worker threads (default: one per core of the container)', wholeNumber)
    .action(async options => {
      const { becomeEnvoy } = await import('./node/envoy.ts');
      await becomeEnvoy(options);
    });
}

function addDrain(program: Command): void {
  program
    .command('drain')
    .description('end the service of an Envoy without cutting a request: what a pod does before Envoy is stopped')
    .requiredOption('--run-dir <dir>', 'directory shared with this Envoy')
    .addOption(
      new Option('--timeout <duration>', 'when to give up, and tell how many requests are left')
        .argParser(milliseconds)
        .default(900_000, '900s'),
    )
    .addOption(
      new Option('--min-accept <duration>', 'how long new connections are still accepted, and idle ones kept')
        .argParser(milliseconds)
        .default(5_000, '5s'),
    )
    .action(async ({ runDir, timeout, minAccept }, command) => {
      if (minAccept >= timeout) command.error('error: --timeout must be longer than --min-accept, which it includes');
      const { drain } = await import('./node/drain.ts');
      const say = (line: string) => process.stdout.write(`${line}\n`);
      process.exitCode = await drain({ runDir, timeoutMs: timeout, minAcceptMs: minAccept, say });
    });
}

function addSetup(program: Command): void {
  program
    .command('setup')
    .description('fetch the pinned Envoy, so that nothing else needs the network')
    .action(async () => {
      const { envoyBinary } = await import('./setup/envoy-binary.ts');
      await envoyBinary(line => process.stderr.write(`${line}\n`));
    });
}

function wholeNumber(text: string): number {
  if (!/^[1-9]\d{0,3}$/.test(text)) throw new InvalidArgumentError('It must be a whole number from 1.');
  return Number(text);
}

const UNIT_MS: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 };

function milliseconds(text: string): number {
  const [, count, unit = ''] = /^(\d{1,6})(ms|s|m|h)$/.exec(text) ?? [];
  if (count === undefined) throw new InvalidArgumentError('It must be a duration such as 500ms, 30s or 15m.');
  return Number(count) * (UNIT_MS[unit] ?? 0);
}

function hostPort(text: string): { host: string; port: number } {
  const [, bracketed, plain, port] = /^(?:\[([^\]]+)\]|([^:]+)):(\d{1,5})$/.exec(text) ?? [];
  const host = bracketed ?? plain;
  if (host === undefined || Number(port) > 65_535) {
    throw new InvalidArgumentError('It must be an address with a port, such as 0.0.0.0:18002.');
  }
  return { host, port: Number(port) };
}

/** People write host:port, as the gateway itself does. */
function adminUrl(text: string): string {
  const url = text.includes('://') ? text : `http://${text}`;
  if (!/^https?:/.test(url) || !URL.canParse(url)) {
    throw new InvalidArgumentError(`It must be an address such as ${DEFAULT_ADMIN}.`);
  }
  return url;
}

function modelName(text: string): string {
  if (text === '') throw new InvalidArgumentError('It must be the id or an alias of a model.');
  return text;
}

function outputFormat(text: string): 'text' | 'json' {
  if (text !== 'text' && text !== 'json') throw new InvalidArgumentError('It must be text or json.');
  return text;
}

function keyFormat(text: string): 'text' | 'json' | 'yaml' {
  if (text !== 'text' && text !== 'json' && text !== 'yaml') {
    throw new InvalidArgumentError('It must be text, json or yaml.');
  }
  return text;
}

function objectName(text: string): { namespace: string; name: string } {
  const [namespace, name, more] = text.split('/');
  if (!namespace || !name || more !== undefined) throw new InvalidArgumentError('It must be namespace/name.');
  return { namespace, name };
}

function logLevel(text: string): string {
  if (!['debug', 'info', 'warn', 'error'].includes(text)) {
    throw new InvalidArgumentError('It must be debug, info, warn or error.');
  }
  return text;
}
