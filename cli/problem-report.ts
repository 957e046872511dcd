import { createColors } from 'picocolors';
import type { FieldPath } from '../crds/field-problem.ts';
import type { Plan } from '../operator/plan/plan.ts';
import { objectKey } from '../operator/source/cluster-state.ts';
import type { DirectoryReading } from '../operator/source/directory.ts';
import { byPlace, type Problem, problemAt, type Severity } from '../operator/source/problem.ts';

/** Everything to tell about a reading: what is wrong with the files, and what the plan found. */
export function allProblems(reading: DirectoryReading, plan: Plan): Problem[] {
  const problems = [...reading.problems];
  const tell = (kind: Kind, key: string, severity: Severity, path: FieldPath, message: string) => {
    const origin = originOf(reading.state, kind, key);
    if (origin?.kind !== 'file') return;
    const place = path.length === 0 ? origin : reading.locate(origin, path);
    problems.push(problemAt(origin.file, place, { severity, resource: `${kind} ${key}`, path, message }));
  };
  for (const [kind, statuses] of [
    ['ModelDeployment', plan.statuses],
    ['Consumer', plan.consumerStatuses],
  ] as const) {
    for (const [key, { conditions }] of statuses) {
      const refused = conditions.find(({ type, status }) => type === 'Accepted' && status === 'False');
      if (refused !== undefined) tell(kind, key, 'error', [], `not served: ${refused.message}`);
    }
  }
  for (const { kind, resource, path, message } of plan.warnings) tell(kind, resource, 'warning', path, message);
  return [
    ...problems,
    ...closedProblems(reading),
    ...certificateProblems(reading, plan),
    ...referenceProblems(reading, plan),
  ].sort(byPlace);
}

type Kind = Plan['warnings'][number]['kind'];

function originOf({ modelDeployments, consumers, gateways }: DirectoryReading['state'], kind: Kind, key: string) {
  if (kind === 'ModelDeployment') return modelDeployments.get(key)?.origin;
  if (kind === 'Consumer') return consumers.get(key)?.origin;
  return gateways.find(gateway => objectKey(gateway) === key)?.origin;
}

/** That nobody may call, and why. */
function closedProblems({ state: { closed } }: DirectoryReading): Problem[] {
  if (closed?.origin.kind !== 'file') return [];
  const { why, key, origin } = closed;
  const gateway = `the InferenceGateway${key === '' ? '' : ` ${key}`}`;
  // What is wrong with one that is refused is told as an error of its own.
  const [severity, message]: [Severity, string] =
    why === 'refused'
      ? ['warning', `nobody may call until ${gateway} can be read: every request is answered 503`]
      : ['error', `${gateway}, which asked who calls, is gone: every request is answered 503 until there is another`];
  const resource = key === '' ? '' : `InferenceGateway ${key}`;
  return [problemAt(origin.file, origin, { severity, resource, message })];
}

/** What resources refer to and nobody has. */
function referenceProblems(reading: DirectoryReading, plan: Plan): Problem[] {
  const { state, locate } = reading;
  const severity = isForCluster(reading) ? 'warning' : 'error';
  const ofGateway = plan.references.flatMap(({ gateway, path, purpose, secret, problem }) => {
    const origin = originOf(state, 'InferenceGateway', gateway);
    if (origin?.kind !== 'file' || problem === undefined) return [];
    const about = { severity, resource: `InferenceGateway ${gateway}`, path } as const;
    return [
      problemAt(origin.file, locate(origin, path), { ...about, message: `${purpose}: secret ${secret}: ${problem}` }),
    ];
  });
  const ofConsumers = [...plan.consumerStatuses].flatMap(([key, { conditions }]) => {
    const lacking = conditions.find(({ type, status }) => type === 'ResolvedRefs' && status === 'False');
    const origin = originOf(state, 'Consumer', key);
    if (origin?.kind !== 'file' || lacking === undefined) return [];
    const path = ['spec', 'apiKeys'];
    const about = { severity, resource: `Consumer ${key}`, path, message: lacking.message } as const;
    return [problemAt(origin.file, locate(origin, path), about)];
  });
  return [...ofGateway, ...ofConsumers];
}

/** Files with neither pods nor the Secrets that they name are meant for a cluster, which has both. */
export function isForCluster({ state }: DirectoryReading): boolean {
  return state.pods.size === 0 && [...state.secrets.values()].every(({ data }) => data === undefined);
}

function certificateProblems(reading: DirectoryReading, { certificates }: Plan): Problem[] {
  const { state, locate } = reading;
  const elsewhere = isForCluster(reading);
  return certificates.flatMap(({ gateway, path, secret, problem, notAfterMs = Number.POSITIVE_INFINITY }) => {
    const origin = originOf(state, 'InferenceGateway', gateway);
    if (origin?.kind !== 'file' || (problem === undefined && notAfterMs > Date.now())) return [];
    const resource = `InferenceGateway ${gateway}`;
    const [severity, message]: [Severity, string] =
      problem === undefined
        ? ['warning', `the certificate in secret ${secret} has expired on ${new Date(notAfterMs).toISOString()}`]
        : [elsewhere ? 'warning' : 'error', `secret ${secret}: ${problem}`];
    return [problemAt(origin.file, locate(origin, path), { severity, resource, path, message })];
  });
}

/** Problems for people: a line each, beginning with `file:line:column` as editors and terminals know it. */
export function problemText(problems: readonly Problem[], colour: boolean): string {
  const paint = createColors(colour);
  const severityColour = { error: paint.red, warning: paint.yellow, ignored: paint.dim };
  return problems
    .map(({ severity, file, line, column, path, message }) => {
      const place = line === 0 ? file : `${file}:${line}:${column}`;
      const field = path === '' ? '' : `${paint.cyan(path)}: `;
      return `${paint.bold(place)}: ${severityColour[severity](severity)}: ${field}${message}\n`;
    })
    .join('');
}

/** How many problems of each severity, such as "2 errors, 1 warning"; empty when there are none. */
export function problemCount(problems: readonly Problem[]): string {
  const count = (severity: Severity, noun: string) => {
    const found = problems.filter(problem => problem.severity === severity).length;
    return found === 0 ? [] : [`${found} ${noun}${found === 1 || severity === 'ignored' ? '' : 's'}`];
  };
  return [...count('error', 'error'), ...count('warning', 'warning'), ...count('ignored', 'ignored')].join(', ');
}
