import { ORIGIN_PATTERN, USUAL_PORT_PATTERN } from './web-origin.ts';

/** A rule of a schema that JSON Schema cannot say, in CEL, where the API server checks it. */
export interface CelRule {
  readonly rule: string;
  /** What is wrong and what to do. */
  readonly message: string;
}

/**
 * Rules by the field that they stand at ("spec.backends[]"; "" is the resource). They say what the checks of the zod
 * schemas say, as far as CEL's cost limits allow; the operator checks everything once more.
 * https://kubernetes.io/docs/reference/using-api/cel/
 */
export const MODEL_DEPLOYMENT_RULES: Readonly<Record<string, readonly CelRule[]>> = {
  'spec.model': nameRules('the id', true),
  'spec.aliases[]': nameRules('an alias', true),
  'spec.backends[].model': nameRules('a name', false),
  spec: [
    {
      rule: '!has(self.model) || !has(self.aliases) || !(self.model in self.aliases)',
      message: 'an alias repeats the id of the model: leave it out',
    },
  ],
  'spec.backends[]': [
    {
      rule: 'has(self.pods) != has(self.endpoints)',
      message: 'a backend needs either pods or endpoints, and not both',
    },
  ],
  'spec.backends': [
    {
      rule: 'self.all(a, self.all(b, a.priority != b.priority || has(a.weight) == has(b.weight)))',
      message: 'backends of one priority must all have a weight, or none of them',
    },
    {
      rule: 'self.all(a, !has(a.weight) || self.exists(b, b.priority == a.priority && has(b.weight) && b.weight > 0))',
      message: 'every backend of a priority has weight 0: at least one must have more',
    },
  ],
  ...Object.fromEntries(
    ['connect', 'request', 'headers', 'idle'].map(name => [
      `spec.timeouts.${name}`,
      [
        {
          rule: "duration(self) > duration('0s') && duration(self) <= duration('24h')",
          message: 'expected a duration from 1ms to 24h, such as 500ms, 5s or 10m',
        },
      ],
    ]),
  ),
};

/** As above, of the InferenceGateway. */
export const INFERENCE_GATEWAY_RULES: Readonly<Record<string, readonly CelRule[]>> = {
  spec: [
    {
      rule: '!has(self.listeners) || self.listeners.all(a, self.listeners.exists_one(b, b.port == a.port))',
      message: 'two listeners have one port: give each its own',
    },
    {
      rule: '!has(self.listeners) || !has(self.admin) || self.listeners.all(a, a.port != self.admin.port)',
      message: 'a listener has the port of admin: give one of them another',
    },
  ],
  'spec.listeners[].address': addressRules(),
  'spec.admin.address': addressRules(),
  'spec.cors.allowOrigins': [
    { rule: "self.size() < 2 || !('*' in self)", message: '* allows every origin: leave the others out' },
  ],
  'spec.cors.allowOrigins[]': [
    {
      rule: `self.matches(r'${ORIGIN_PATTERN}')`,
      message:
        'expected an origin such as https://app.example.com, https://*.example.com or *: in lower case, without a path',
    },
    {
      rule: `!self.matches(r'${USUAL_PORT_PATTERN}')`,
      message: 'browsers leave the usual port of an origin out: leave it out here, too',
    },
  ],
};

function nameRules(what: string, isPublic: boolean): CelRule[] {
  const trimmed = { rule: 'self.trim() == self', message: `${what} may not begin or end with a space` };
  const versionless = {
    rule: "!self.contains('@')",
    message: `${what} may not contain @: it separates a name from its version`,
  };
  return isPublic ? [trimmed, versionless] : [trimmed];
}

function addressRules(): CelRule[] {
  return [{ rule: 'isIP(self)', message: 'expected an IP address, such as 127.0.0.1, 0.0.0.0 or ::1' }];
}
