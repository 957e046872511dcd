import { z } from 'zod';
import { authenticationSchema } from './authentication.ts';
import { duration } from './duration.ts';
import { bindAddress, port } from './host-port.ts';
import { limits } from './limit.ts';
import { limitStoreSchema } from './limit-store.ts';
import { API_VERSION, metadataSchema } from './metadata.ts';
import { labelName, objectName } from './object-name.ts';
import { webOrigin } from './web-origin.ts';
import { expecting } from './wording.ts';

/** Header names of HTTP: https://www.rfc-editor.org/rfc/rfc9110#name-tokens */
const HEADER_NAME = /^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}$/;
/** Headers that a client's request never keeps, so that naming them could have no effect. */
const STRIPPED_HEADER = /^(x-fairlead-|x-envoy-|x-gateway-destination-endpoint|target-pod$)/i;

/** Headers with a meaning of their own: what they say would be taken for a model, and nearly every request be a 404. */
const TAKEN_HEADER =
  /^(host|content-.*|transfer-encoding|connection|keep-alive|te|trailer|upgrade|via|forwarded|x-forwarded-.*|date|expect|accept(-.*)?|user-agent|origin|referer|cookie|authorization|proxy-.*|x-api-key|x-request-id|traceparent|tracestate|user|routing-strategy|x-session-id)$/i;

const MAX_LISTENERS = 16;
const MAX_ORIGINS = 64;
const MIN_BODY_BYTES = 1024;
/** One buffered body is one message to the ext_proc service, which holds it in memory whole. */
const MAX_BODY_BYTES = 134_217_728;

const headerName = z
  .string(expecting('the name of a header'))
  .regex(HEADER_NAME, expecting('the name of a header'))
  .refine(name => !STRIPPED_HEADER.test(name), expecting('a header that clients may send'))
  .refine(name => !TAKEN_HEADER.test(name), expecting('a header that says nothing else, such as `x-model`'));

const listenerSchema = z.strictObject({
  name: labelName().describe('Name of the listener, unique in the resource.'),
  port: port().describe('Port where clients connect.'),
  address: bindAddress()
    .optional()
    .describe('Address to bind: when absent, 127.0.0.1 under `fairlead up` without authentication, else all.'),
  tls: z
    .strictObject({
      secretRef: z
        .strictObject({ name: objectName().describe('Name of the Secret.') })
        .describe(
          "Secret of the gateway's namespace, of type kubernetes.io/tls: the certificate with its chain as `tls.crt`, its key as `tls.key`. A new certificate holds for new connections, and none is closed for it.",
        ),
      minVersion: z.enum(['1.2', '1.3']).default('1.2').describe('Oldest version of TLS that clients may speak.'),
    })
    .optional()
    .describe('TLS, with HTTP/2 where clients ask for it; cleartext when absent.'),
});

const adminSchema = z.strictObject({
  port: port().default(8889).describe('Port where metrics, health and explain answer.'),
  address: bindAddress().optional().describe('Address to bind: when absent, 127.0.0.1 under `fairlead up`, else all.'),
  endpointLabels: z
    .boolean()
    .default(false)
    .describe('Whether metrics carry a label per endpoint: many series in a large fleet.'),
});

const specSchema = z
  .strictObject({
    listeners: z
      .array(listenerSchema)
      .min(1)
      .max(MAX_LISTENERS)
      .default([{ name: 'http', port: 8888 }])
      .describe('Where clients connect.'),
    admin: adminSchema.prefault({}).describe('Where operators look.'),
    authentication: authenticationSchema.prefault({}).describe('How callers are known.'),
    anonymous: z
      .strictObject({
        limits: limits().prefault([]).describe('Limits of all of them together, unless they say `each`.'),
      })
      .optional()
      .describe('Callers who are no Consumer, where nobody is authenticated.'),
    hideForbiddenModels: z
      .boolean()
      .default(false)
      .describe('Whether a model that a caller may not use is answered 404, as one that is not there, and not 403.'),
    limits: limitStoreSchema.prefault({}).describe('Where limits are counted, and those over all callers.'),
    maxBodyBytes: z
      .int()
      .min(MIN_BODY_BYTES)
      .max(MAX_BODY_BYTES)
      .default(33_554_432)
      .describe('Largest request body, bytes; a larger one is answered 413.'),
    clientTimeouts: z
      .strictObject({
        headers: duration().default('10s').describe("Until a request's headers have come."),
        upload: duration()
          .default('60s')
          .describe('Until the whole request has come: a body of 32 MiB needs 4.5 Mbit/s to arrive in 60s.'),
      })
      .prefault({})
      .describe('How long clients may take to send a request; a slower one is answered 408.'),
    modelHeaders: z
      .array(headerName)
      .max(8)
      .default(['x-model', 'model'])
      .describe('Request headers that may name the model, in order of precedence.'),
    validation: z
      .enum(['off', 'basic', 'strict'])
      .default('basic')
      .describe('How much of a JSON body is checked: what routing needs, the top level, or all of it.'),
    cors: z
      .strictObject({
        allowOrigins: z
          .array(webOrigin())
          .max(MAX_ORIGINS)
          .default([])
          .describe(
            'Origins whose pages may ask from a browser: `https://app.example.com`, `https://*.example.com` for every subdomain, or `*` for all. Cookies are never allowed.',
          ),
      })
      .prefault({})
      .describe('Cross-origin requests of browsers; none are allowed unless origins are named.'),
    explain: z
      .strictObject({
        allow: z
          .boolean()
          .optional()
          .describe(
            'Whether `x-fairlead-explain: 1` is answered, with pod names: when absent, only under `fairlead up`.',
          ),
      })
      .prefault({})
      .describe('Who may ask why a pod was picked.'),
  })
  .check(checkListeners, checkOrigins, checkAnonymous);

/** The gateway itself: where it listens and what it reads. One per installation. */
export const inferenceGatewaySchema = z.strictObject({
  apiVersion: z.literal(API_VERSION).describe('Version of this resource.'),
  kind: z.literal('InferenceGateway').describe('Kind of this resource.'),
  metadata: metadataSchema.describe('Name, namespace and labels.'),
  spec: specSchema.prefault({}).describe('Where the gateway listens and what it reads.'),
  status: z.unknown().optional().describe('Written by Fairlead in a cluster; ignored in files.'),
});

export type InferenceGateway = z.output<typeof inferenceGatewaySchema>;
export type InferenceGatewaySpec = InferenceGateway['spec'];

/** What a gateway is that nobody declared. */
export const DEFAULT_GATEWAY_SPEC: InferenceGatewaySpec = specSchema.parse({});

function checkListeners(context: z.core.ParsePayload<z.output<typeof specSchema>>): void {
  if (context.issues.length > 0) return;
  const { listeners, admin } = context.value;
  const refuse = (path: (string | number)[], message: string) =>
    context.issues.push({ code: 'custom', input: context.value, path, message });
  const indexByName = new Map<string, number>();
  const takenBy = new Map<number, string>([[admin.port, '`admin`']]);
  for (const [index, { name, port }] of listeners.entries()) {
    const before = indexByName.get(name);
    if (before !== undefined)
      refuse(['listeners', index, 'name'], `\`${name}\` is already the name of listeners[${before}]`);
    else indexByName.set(name, index);
    const taken = takenBy.get(port);
    if (taken !== undefined) refuse(['listeners', index, 'port'], `port ${port} is already taken by ${taken}`);
    else takenBy.set(port, `listeners[${index}]`);
  }
}

function checkOrigins(context: z.core.ParsePayload<z.output<typeof specSchema>>): void {
  if (context.issues.length > 0) return;
  const { allowOrigins } = context.value.cors;
  const refuse = (index: number, message: string) =>
    context.issues.push({ code: 'custom', input: context.value, path: ['cors', 'allowOrigins', index], message });
  for (const [index, origin] of allowOrigins.entries()) {
    if (allowOrigins.indexOf(origin) < index) refuse(index, `\`${origin}\` is there already`);
    else if (origin === '*' && allowOrigins.length > 1) refuse(index, '`*` allows every origin: leave the others out');
  }
}

function checkAnonymous(context: z.core.ParsePayload<z.output<typeof specSchema>>): void {
  if (context.issues.length > 0) return;
  const { authentication, anonymous } = context.value;
  if (anonymous === undefined || authentication.mode === 'none') return;
  const message = `nobody is anonymous under authentication \`${authentication.mode}\`: leave it out`;
  context.issues.push({ code: 'custom', input: context.value, path: ['anonymous'], message });
}
