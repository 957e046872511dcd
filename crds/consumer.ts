import { z } from 'zod';
import { apiKeys } from './api-key.ts';
import type { FieldPath } from './field-problem.ts';
import { isClaimPath, issuerName, MAX_CLAIMS } from './jwt-claim.ts';
import { limits } from './limit.ts';
import { API_VERSION, metadataSchema } from './metadata.ts';
import { upstreamName } from './model-name.ts';
import { modelPattern } from './model-pattern.ts';
import { currency, money } from './money.ts';
import { timeZone } from './time-zone.ts';

const MAX_TOKENS = 32;
const MAX_USERS = 64;
const MAX_MODELS = 256;

const claimValue = z.string().min(1).max(1_024);

const jwtSchema = z
  .strictObject({
    issuer: issuerName().describe('As in the claim `iss`, and one of the issuers of the gateway.'),
    subject: claimValue.optional().describe('Value of the claim `sub`.'),
    claims: z
      .record(z.string(), claimValue)
      .default({})
      .describe('Values of further claims by their paths, such as `org.team`; of a claim that is a list, one element.'),
  })
  .check(checkMatch)
  .transform(({ issuer, subject, claims }) => ({
    issuer,
    /** By the path of the claim; all of them must fit. */
    claims: subject === undefined ? claims : { ...claims, sub: subject },
  }));

const budgetSchema = z.strictObject({
  amount: money().describe('How much may be spent in a period, as a string such as "100.00"; 0 for no access.'),
  currency: currency().describe('Currency of the amount, by its three capitals.'),
  period: z.enum(['day', 'month']).describe('The period of the calendar after which it begins anew.'),
  timeZone: timeZone().default('UTC').describe('Where days and months begin, such as `Europe/Paris`.'),
  warnAt: z.int().min(1).max(100).default(80).describe('Percent of the amount from which on it is told.'),
});

const specFields = z.strictObject({
  apiKeys: apiKeys().default([]).describe('Keys that are its own; several, so that one can take the place of another.'),
  jwt: z.array(jwtSchema).max(MAX_TOKENS).prefault([]).describe('Tokens that are its own.'),
  users: z
    .array(upstreamName())
    .max(MAX_USERS)
    .default([])
    .describe('Values of the `user` header that name it where nobody is authenticated; its name always does.'),
  userHeader: upstreamName().optional().describe('The same as `users`, of one value.'),
  models: z
    .array(modelPattern())
    .max(MAX_MODELS)
    .optional()
    .describe(
      'Models that it may use, by id (`id@version` for one version), alias or pattern with `*`; all when absent, none when empty.',
    ),
  limits: limits().prefault([]).describe('How much it may ask for.'),
  budget: budgetSchema.optional().describe('How much it may spend; any amount when absent.'),
  explain: z
    .strictObject({
      allow: z
        .boolean()
        .default(false)
        .describe('Whether `x-fairlead-explain: 1` is answered, with pod names, whatever the gateway says.'),
    })
    .prefault({})
    .describe('Whether it may ask why a pod was picked.'),
});

const specSchema = specFields.check(checkUsers).transform(spec => ({
  ...spec,
  /** With `userHeader`, after those that the list has, so that each stands where its place says. */
  users: spec.userHeader === undefined ? spec.users : [...spec.users, spec.userHeader],
}));

/** Who calls, and what he may do. */
export const consumerSchema = z.strictObject({
  apiVersion: z.literal(API_VERSION).describe('Version of this resource.'),
  kind: z.literal('Consumer').describe('Kind of this resource.'),
  metadata: metadataSchema.describe('Name, namespace and labels.'),
  spec: specSchema.prefault({}).describe('How he is known, and what he may do.'),
  status: z.unknown().optional().describe('Written by Fairlead in a cluster; ignored in files.'),
});

export type Consumer = z.output<typeof consumerSchema>;
export type ConsumerSpec = Consumer['spec'];

/** The field in which a user of `users` was declared. */
export function userPath({ users, userHeader }: ConsumerSpec, index: number): FieldPath {
  return userHeader !== undefined && index === users.length - 1 ? ['spec', 'userHeader'] : ['spec', 'users', index];
}

function checkMatch(
  context: z.core.ParsePayload<{ subject?: string | undefined; claims: Record<string, string> }>,
): void {
  if (context.issues.length > 0) return;
  const { subject, claims } = context.value;
  const refuse = (path: string[], message: string) =>
    context.issues.push({ code: 'custom', input: context.value, path, message });
  const paths = Object.keys(claims);
  if (subject === undefined && paths.length === 0) {
    refuse([], 'needs `subject` or `claims`: every token of the issuer would fit');
  }
  if (subject !== undefined && claims.sub !== undefined)
    refuse(['claims', 'sub'], 'is what `subject` says: one must go');
  if (paths.length > MAX_CLAIMS) refuse(['claims'], `expected at most ${MAX_CLAIMS} of them, got ${paths.length}`);
  for (const path of paths) {
    if (!isClaimPath(path)) refuse(['claims', path], 'expected the path of a claim, such as `sub` or `org.team`');
  }
}

function checkUsers(context: z.core.ParsePayload<z.output<typeof specFields>>): void {
  if (context.issues.length > 0) return;
  const { users, userHeader } = context.value;
  for (const [index, user] of users.entries()) {
    const first = users.indexOf(user);
    const already = first < index ? `users[${first}]` : user === userHeader ? '`userHeader`' : undefined;
    const message = `\`${user}\` is ${already} already`;
    if (already) context.issues.push({ code: 'custom', input: user, path: ['users', index], message });
  }
}
