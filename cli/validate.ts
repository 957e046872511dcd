import { stat } from 'node:fs/promises';
import picocolors from 'picocolors';
import { type Plan, plan } from '../operator/plan/plan.ts';
import { oldestGateway } from '../operator/source/closed-gateway.ts';
import { type DirectoryReading, readPaths } from '../operator/source/directory.ts';
import type { ResolveHost } from '../operator/source/host-addresses.ts';
import { byPlace, type Problem, problemAt } from '../operator/source/problem.ts';
import { allProblems, isForCluster, problemCount, problemText } from './problem-report.ts';

const VALID = 0;
const INVALID = 1;
const MISUSED = 2;

interface ValidateOptions {
  readonly output: 'text' | 'json';
  readonly out: { write(text: string): unknown; readonly isTTY?: boolean };
  /** Where it is told that it was called wrongly. */
  readonly err: { write(text: string): unknown };
  /** How host names become addresses; by the machine's own resolver when absent. */
  readonly resolveHost?: ResolveHost;
}

/**
 * Checks files and directories as `fairlead up` does, and writes what is wrong with them. Gives the exit code: 0 when
 * there is no error (there may be warnings), 1 when there is, 2 when a path does not exist.
 */
export async function validate(paths: readonly string[], options: ValidateOptions): Promise<number> {
  const { output, out, err, resolveHost } = options;
  const missing = await firstMissing(paths);
  if (missing !== undefined) {
    err.write(`fairlead: no such file or directory: ${missing}\n`);
    return MISUSED;
  }
  const reading = await readPaths(paths, resolveHost);
  const problems = problemsOf(reading);
  const valid = problems.every(({ severity }) => severity !== 'error');
  const found = {
    modelDeployments: reading.state.modelDeployments.size,
    inferenceGateways: reading.state.gateways.length,
    consumers: reading.state.consumers.size,
    pods: reading.state.pods.size,
  };
  if (output === 'json') out.write(json({ valid, ...found, problems }));
  else {
    const colour = out.isTTY === true && picocolors.isColorSupported;
    out.write(`${problemText(problems, colour)}${summary(found, problems)}\n`);
  }
  return valid ? VALID : INVALID;
}

function problemsOf(reading: DirectoryReading): Problem[] {
  const planned = plan(reading.state, { standalone: true });
  const problems = allProblems(reading, reading.state.pods.size === 0 ? withoutPods(planned) : planned);
  return isForCluster(reading) ? [...problems, ...budgetsWithoutStore(reading)].sort(byPlace) : problems;
}

/** Consumers that a cluster would not accept, which `fairlead up` does. */
function budgetsWithoutStore({ state, locate }: DirectoryReading): Problem[] {
  const gateway = oldestGateway(state.gateways);
  if (gateway !== undefined && gateway.spec.limits.store !== 'memory') return [];
  const path = ['spec', 'budget'];
  const message = 'in a cluster a budget needs a store that outlives the gateways: `limits.store: valkey`';
  return [...state.consumers].flatMap(([key, { origin, spec }]) => {
    if (spec.budget === undefined || origin.kind !== 'file') return [];
    const about = { severity: 'warning', resource: `Consumer ${key}`, path, message } as const;
    return [problemAt(origin.file, locate(origin, path), about)];
  });
}

/** Files without any pod are meant for a cluster, which knows its pods: that selectors find none here says nothing. */
function withoutPods(planned: Plan): Plan {
  const warnings = planned.warnings.filter(
    ({ reason, path }) => reason !== 'NoEndpoints' || !path.includes('selector'),
  );
  return { ...planned, warnings };
}

function summary(
  found: Record<'modelDeployments' | 'inferenceGateways' | 'consumers' | 'pods', number>,
  problems: readonly Problem[],
): string {
  const { modelDeployments, inferenceGateways, consumers, pods } = found;
  const read = [
    count(modelDeployments, 'ModelDeployment'),
    count(inferenceGateways, 'InferenceGateway'),
    ...(consumers === 0 ? [] : [count(consumers, 'Consumer')]),
    ...(pods === 0 ? [] : [count(pods, 'Pod')]),
  ].join(', ');
  return `${read}: ${problemCount(problems) || 'no problems'}`;
}

function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? '' : 's'}`;
}

function json(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}

async function firstMissing(paths: readonly string[]): Promise<string | undefined> {
  for (const path of paths) {
    const exists = await stat(path).then(
      () => true,
      () => false,
    );
    if (!exists) return path;
  }
  return undefined;
}
