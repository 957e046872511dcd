import { z } from 'zod';
import { duration, durationMs } from './duration.ts';
import { limits } from './limit.ts';
import { secretKeyRef } from './secret-ref.ts';
import { serverUrl } from './server-url.ts';
import { expecting } from './wording.ts';

/**
 * A request that waits longer for its admission would have been better off without the store, milliseconds. Well below the
 * 5 s after which Envoy gives up a request that extproc has not answered (agent/envoy): `onStoreFailure` is to decide.
 */
const MAX_TIMEOUT_MS = 2_000;

const TLS_SCHEMES = ['valkeys', 'rediss'];

const valkeySchema = z
  .strictObject({
    url: serverUrl('valkeys://valkey.example.com:6379/0', ['valkey', ...TLS_SCHEMES, 'redis'], url =>
      /^(\/[0-9]{0,4})?$/.test(url.pathname + url.search),
    ).describe(
      'Where it is: valkey://host:port/database, or valkeys:// for TLS; redis:// and rediss:// mean the same.',
    ),
    username: z.string().min(1).max(256).optional().describe('Who the gateway is there; `default` when absent.'),
    secretRef: secretKeyRef('password')
      .optional()
      .describe("Secret of the gateway's namespace with the password; none is sent when absent."),
    ca: z
      .strictObject({ secretRef: secretKeyRef('ca.crt').describe("Secret of the gateway's namespace, in PEM.") })
      .optional()
      .describe("Certificate authorities of the server; the system's when absent."),
    cluster: z
      .boolean()
      .default(false)
      .describe('Whether it is a cluster. All counters are in one slot: a cluster makes it available, not faster.'),
  })
  .check(context => {
    if (context.issues.length > 0) return;
    const { url, ca, username, secretRef } = context.value;
    const refuse = (path: string[], message: string) =>
      context.issues.push({ code: 'custom', input: context.value, path, message });
    if (ca !== undefined && !isTls(url)) refuse(['ca'], 'is of no use without TLS: begin the URL with `valkeys://`');
    if (username !== undefined && secretRef === undefined)
      refuse(['username'], 'needs a password: give its `secretRef`');
  });

/** Where limits are counted, and those over all callers. */
export const limitStoreSchema = z
  .strictObject({
    store: z
      .enum(['memory', 'valkey'])
      .default('memory')
      .describe('Where is counted: in the memory of each gateway, which then enforces its share, or in one Valkey.'),
    timeout: duration()
      .refine(text => durationMs(text) <= MAX_TIMEOUT_MS, expecting('a duration of 1ms to 2s'))
      .default('20ms')
      .describe('How long a request waits for the store.'),
    onStoreFailure: z
      .enum(['local', 'deny', 'allow'])
      .default('local')
      .describe(
        'While the store does not answer: `local` lets each gateway enforce its share, `deny` answers 503, `allow` lets all pass.',
      ),
    valkey: valkeySchema.optional().describe('The Valkey, for the store `valkey`.'),
    rules: limits().prefault([]).describe('Limits over all callers together.'),
  })
  .check(context => {
    if (context.issues.length > 0) return;
    const { store, valkey } = context.value;
    const refuse = (path: string[], message: string) =>
      context.issues.push({ code: 'custom', input: context.value, path, message });
    if (store === 'valkey' && valkey === undefined)
      refuse(['valkey'], 'is missing: the store `valkey` needs its `url`');
    if (store === 'memory' && valkey !== undefined) {
      refuse(['valkey'], 'is not used by the store `memory`: say `store: valkey`, or leave it out');
    }
  });

function isTls(url: string): boolean {
  return TLS_SCHEMES.some(scheme => url.startsWith(`${scheme}:`));
}
