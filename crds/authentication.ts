import { z } from 'zod';
import { claimPath, issuerName } from './jwt-claim.ts';
import { secretKeyRef } from './secret-ref.ts';
import { serverUrl } from './server-url.ts';

const MODES = ['none', 'apiKeys', 'jwt', 'apiKeysOrJwt'] as const;

const MAX_ISSUERS = 16;
const MAX_AUDIENCES = 16;

const issuerSchema = z
  .strictObject({
    issuer: issuerName().describe('As in the claim `iss` of its tokens.'),
    jwksUrl: serverUrl('https://id.example.com/jwks.json', ['https', 'http'], () => true).describe(
      'Where its keys are; they are fetched again and again, so that it may change them.',
    ),
    audiences: z
      .array(z.string().min(1).max(256))
      .max(MAX_AUDIENCES)
      .default([])
      .describe('One of these must be in the claim `aud`; when empty, that is not looked at.'),
    consumerClaim: claimPath()
      .optional()
      .describe(
        'Claim whose value is the name of a Consumer, such as `sub` or `org.team`; when absent, only Consumers say which tokens are theirs.',
      ),
    ca: z
      .strictObject({ secretRef: secretKeyRef('ca.crt').describe("Secret of the gateway's namespace, in PEM.") })
      .optional()
      .describe("Certificate authorities of the keys' server; the system's when absent."),
  })
  .check(context => {
    if (context.issues.length > 0) return;
    const { jwksUrl, ca } = context.value;
    const message = 'no certificate is asked for by http: use https, or leave `ca` out';
    if (ca !== undefined && !jwksUrl.startsWith('https:')) {
      context.issues.push({ code: 'custom', input: context.value, path: ['ca'], message });
    }
  });

/** How callers are known. */
export const authenticationSchema = z
  .strictObject({
    mode: z
      .enum(MODES)
      .default('none')
      .describe('Who may call: `none` asks nobody for a name, the others let only Consumers pass.'),
    jwt: z
      .array(issuerSchema)
      .max(MAX_ISSUERS)
      .default([])
      .describe('Whose tokens are believed; for the modes `jwt` and `apiKeysOrJwt`.'),
  })
  .check(checkIssuers);

function checkIssuers(context: z.core.ParsePayload<z.output<typeof authenticationSchema>>): void {
  if (context.issues.length > 0) return;
  const { mode, jwt } = context.value;
  const refuse = (path: (string | number)[], message: string) =>
    context.issues.push({ code: 'custom', input: context.value, path, message });
  const takesTokens = mode === 'jwt' || mode === 'apiKeysOrJwt';
  if (takesTokens && jwt.length === 0) refuse(['jwt'], `mode \`${mode}\` needs at least one issuer of tokens here`);
  if (!takesTokens && jwt.length > 0) {
    refuse(['jwt'], `mode \`${mode}\` takes no tokens: use \`jwt\` or \`apiKeysOrJwt\`, or leave \`jwt\` out`);
  }
  for (const [index, { issuer }] of jwt.entries()) {
    const first = jwt.findIndex(other => other.issuer === issuer);
    if (first < index) refuse(['jwt', index, 'issuer'], `is the issuer of jwt[${first}] already`);
  }
}
