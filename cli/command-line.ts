import { Command, InvalidArgumentError } from 'commander';
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
  for (const add of [addUp, addValidate, addModels, addExplain, addSim, addOperator, addExtproc, addEnvoy, addSetup])
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
    .option('--log-dir <dir>', 'where the logs go (default: under ~/.local/state/fairlead)')
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

function addSim(program: Command): void {
  program
    .command('sim')
    .description(
      'simulate the vLLM pods that Pod documents with sim.fairlead.dev/ annotations declare, and follow their changes',
    )
    .argument('<path>')
    .option('--control <host:port>', 'where faults are ordered')
    .action(async (path, { control }) => {
      const { runSim } = await import('./sim.ts');
      const { untilStopped } = await import('./process/stop-signal.ts');
      const log = (line: string) => process.stdout.write(`${line}\n`);
      const complain = (line: string) => process.stderr.write(`${line}\n`);
      await runSim(path, { signal: untilStopped(), log, complain, ...(control && { control }) });
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
    .option('--log-level <level>', 'debug, info, warn or error', logLevel, 'info')
    .action(async (dir, options, command) => {
      const { isLocal, runOperator } = await import('./node/operator.ts');
      if (dir !== undefined && options.namespace)
        command.error('error: --namespace is of a cluster, not of a directory');
      if (!options.insecure && !isLocal(options.listen)) {
        command.error(
          `error: at ${options.listen} other machines could read all that is published and report anything. ` +
            'Listen on unix:/path or 127.0.0.1:port, or add --insecure where the network is to be trusted.',
        );
      }
      await runOperator(dir, options);
    });
}

function addExtproc(program: Command): void {
  program
    .command('extproc')
    .description('the data plane beside one Envoy: ext_proc, access log and the agent')
    .requiredOption('--control-plane <address>', 'unix:/path or host:port of the operator')
    .requiredOption('--run-dir <dir>', 'directory shared with this Envoy')
    .option('--node-id <name>', 'name of this node in reports', 'node')
    .option('--access-log <file>', "Envoy's JSON access log", '/dev/stdout')
    .option('--log-level <level>', 'debug tells every pick', logLevel, 'info')
    .action(async options => {
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
    .option('--concurrency <n>', 'worker threads (default: one per core)', wholeNumber)
    .action(async options => {
      const { becomeEnvoy } = await import('./node/envoy.ts');
      await becomeEnvoy(options);
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

function logLevel(text: string): string {
  if (!['debug', 'info', 'warn', 'error'].includes(text)) {
    throw new InvalidArgumentError('It must be debug, info, warn or error.');
  }
  return text;
}
