import { readdir, readFile, stat } from 'node:fs/promises';
import { basename, join, sep } from 'node:path';
import { parseAllDocuments } from 'yaml';
import { z } from 'zod';
import { GPU_PROFILES, type GpuName } from './engine/step-model.ts';
import type { PodSpec } from './pod.ts';

const PREFIX = 'sim.fairlead.dev/';

/** Annotations are strings; this one is a number. */
const numeral = z
  .string()
  .regex(/^\d+(\.\d+)?$/, 'must be a number')
  .transform(Number);
const count = numeral.pipe(z.int().min(1));

/** The annotations that make a Pod document a simulated pod, without their prefix. */
const annotationsSchema = z.strictObject({
  /** Served names, separated by commas. */
  model: z
    .string()
    .transform(names => names.split(',').map(name => name.trim()))
    .pipe(z.tuple([z.string().min(1)], z.string().min(1))),
  gpu: z.enum(Object.keys(GPU_PROFILES) as [GpuName, ...GpuName[]]).optional(),
  'time-scale': numeral.pipe(z.number().positive()).optional(),
  seed: numeral.pipe(z.int()).optional(),
  'kv-tokens': count.optional(),
  'max-model-len': count.optional(),
  'max-num-seqs': count.optional(),
  'token-budget': count.optional(),
  'idle-close-ms': count.optional(),
});

/** What the simulation reads of a Pod; the rest is Kubernetes' business. */
const podSchema = z.object({
  kind: z.literal('Pod'),
  metadata: z.object({ name: z.string().min(1), annotations: z.record(z.string(), z.unknown()).optional() }),
  spec: z.object({
    containers: z
      .array(z.object({ ports: z.array(z.object({ containerPort: z.int().min(1).max(65_535) })).min(1) }))
      .min(1),
  }),
  status: z.object({ podIP: z.string().min(1) }),
});

/**
 * The pods to simulate that a YAML file, or the YAML files of a directory, declare: `v1 Pod` documents with the
 * annotation `sim.fairlead.dev/model`. Other documents and other pods are somebody else's and passed over.
 *
 * @throws Error naming file, line and field, when a document cannot be read
 */
export async function readPodDocuments(path: string): Promise<PodSpec[]> {
  const specs: PodSpec[] = [];
  for (const file of await documentFiles(path)) {
    specs.push(...parsePodDocuments(await readFile(file, 'utf8'), file));
  }
  return specs;
}

/** @param file what to call the text in errors */
export function parsePodDocuments(text: string, file: string): PodSpec[] {
  const specs: PodSpec[] = [];
  for (const document of parseAllDocuments(text)) {
    const [error] = document.errors ?? [];
    if (error) throw new Error(`${file}: ${error.message}`);
    const value: unknown = document.toJS();
    const annotations = simAnnotations(value);
    if (!annotations) continue;
    const line = text.slice(0, document.contents?.range?.[0] ?? 0).split('\n').length;
    specs.push(toSpec(value, annotations, `${file}:${line}`));
  }
  return specs;
}

/** The `sim.fairlead.dev/*` annotations of a Pod, without the prefix; undefined where it has none or is no Pod. */
function simAnnotations(value: unknown): Record<string, unknown> | undefined {
  const pod = podSchema.pick({ kind: true, metadata: true }).safeParse(value);
  if (!pod.success) return undefined;
  const all = Object.entries(pod.data.metadata.annotations ?? {});
  const ours = all.filter(([name]) => name.startsWith(PREFIX));
  if (ours.length === 0) return undefined;
  return Object.fromEntries(ours.map(([name, text]) => [name.slice(PREFIX.length), text]));
}

function toSpec(value: unknown, rawAnnotations: Record<string, unknown>, place: string): PodSpec {
  const pod = podSchema.safeParse(value);
  if (!pod.success) throw new Error(`${place}: ${describe(pod.error)}`);
  const annotations = annotationsSchema.safeParse(rawAnnotations);
  if (!annotations.success) {
    throw new Error(`${place}: metadata.annotations: ${describe(annotations.error, PREFIX)}`);
  }
  const read = annotations.data;
  return {
    name: pod.data.metadata.name,
    address: pod.data.status.podIP,
    port: pod.data.spec.containers[0]?.ports[0]?.containerPort,
    models: read.model,
    gpu: read.gpu,
    timeScale: read['time-scale'],
    seed: read.seed,
    kvTokens: read['kv-tokens'],
    maxModelTokens: read['max-model-len'],
    maxSequences: read['max-num-seqs'],
    tokenBudget: read['token-budget'],
    idleCloseMs: read['idle-close-ms'],
  };
}

/** All that is wrong, in one line. */
function describe(error: z.ZodError, prefix = ''): string {
  return error.issues.map(({ path, message }) => `${prefix}${path.join('.')}: ${message}`).join('; ');
}

/** As `fairlead up` reads them: directories below too, JSON too, nothing hidden. */
async function documentFiles(path: string): Promise<string[]> {
  if (!(await stat(path)).isDirectory()) return [path];
  const names = await readdir(path, { recursive: true });
  return names
    .filter(name => isDocumentName(name) && !name.split(sep).some(isHidden))
    .sort()
    .map(name => join(path, name));
}

/** Whether files of this name are read in a directory. */
export function isDocumentName(path: string): boolean {
  return /\.(ya?ml|json)$/i.test(path);
}

/** Whether a file or directory of this name is passed over. */
export function isHidden(path: string): boolean {
  return basename(path).startsWith('.');
}
