import { MAX_CLAIMS } from './jwt-claim.ts';
import { OTHER_WILDCARD_PATTERN } from './model-pattern.ts';
import { MAX_AMOUNT } from './money.ts';
import { LABEL_PATTERN, SUBDOMAIN_PATTERN } from './object-name.ts';
import { SECRET_KEY_PATTERN } from './secret-ref.ts';
import { ORIGIN_PATTERN, USUAL_PORT_PATTERN } from './web-origin.ts';

/** A rule of a schema that JSON Schema cannot say, in CEL, where the API server checks it. */
export interface CelRule {
  readonly rule: string;
  /** What is wrong and what to do. */
  readonly message: string;
}

const PRICES = [
  'promptPerMillion',
  'cachedPromptPerMillion',
  'completionPerMillion',
  'perRequest',
  'perImage',
  'perAudioMinute',
];

/**
 * Rules by the field that they stand at ("spec.backends[]"; "" is the resource). They say what the checks of the zod
 * schemas say, as far as CEL's cost limits allow; the operator checks everything once more. What is by default `{}` is
 * checked as it is, before the defaults in it are filled in.
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
  'spec.limits[]': [
    ...limitRules(),
    {
      rule: '!has(self.models) && !has(self.model)',
      message: 'a limit of a ModelDeployment is about that model: leave models out',
    },
  ],
  'spec.pricing': [
    {
      rule: PRICES.map(price => `has(self.${price})`).join(' || '),
      message: 'names no price: give at least one, or leave pricing out where the model is free',
    },
  ],
  ...Object.fromEntries(PRICES.map(price => [`spec.pricing.${price}`, moneyRules()])),
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
    {
      rule: "!has(self.anonymous) || !has(self.authentication) || !has(self.authentication.mode) || self.authentication.mode == 'none'",
      message: 'nobody is anonymous with authentication on: leave anonymous out',
    },
  ],
  'spec.authentication': [
    {
      rule: "(has(self.mode) && self.mode in ['jwt', 'apiKeysOrJwt']) == (has(self.jwt) && self.jwt.size() > 0)",
      message: 'the modes jwt and apiKeysOrJwt need at least one issuer in jwt, and the others take none',
    },
  ],
  'spec.authentication.jwt[]': [
    {
      rule: "!has(self.ca) || self.jwksUrl.startsWith('https://')",
      message: 'no certificate is asked for by http: use https, or leave ca out',
    },
    {
      // Not at the URL, which may have a password: the API server shows the strings that rules refuse, but not the mappings.
      rule: "self.jwksUrl.matches('^https?://[^@/?#]+([/?][^#]*)?$')",
      message: 'jwksUrl is a URL such as https://id.example.com/jwks.json, without a user or a password',
    },
  ],
  'spec.anonymous.limits[]': limitRules(),
  ...limitedModelRules('spec.anonymous.limits[]'),
  'spec.limits': [
    {
      rule: "(has(self.store) && self.store == 'valkey') == has(self.valkey)",
      message: 'the store valkey needs valkey with its url, and the store memory has none',
    },
  ],
  'spec.limits.timeout': [
    {
      rule: "duration(self) > duration('0s') && duration(self) <= duration('2s')",
      message: 'expected a duration from 1ms to 2s',
    },
  ],
  'spec.limits.valkey': [
    {
      rule: "!has(self.ca) || self.url.matches('^(valkeys|rediss)://')",
      message: 'ca is of no use without TLS: begin the url with valkeys://',
    },
    { rule: '!has(self.username) || has(self.secretRef)', message: 'username needs a password: give its secretRef' },
    {
      rule: "self.url.matches('^(valkeys?|rediss?)://[^@/?#]+(/[0-9]{0,4})?$')",
      message: 'url is a URL such as valkeys://valkey.example.com:6379/0, without a user or a password',
    },
  ],
  'spec.limits.rules[]': limitRules(),
  ...limitedModelRules('spec.limits.rules[]'),
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

/** As above, of the Consumer. What stands in place of a digest may be a key, which no message of a rule shows. */
export const CONSUMER_RULES: Readonly<Record<string, readonly CelRule[]>> = {
  spec: [
    {
      rule: '!has(self.userHeader) || !has(self.users) || !(self.userHeader in self.users)',
      message: 'users repeats userHeader: leave it out',
    },
  ],
  'spec.apiKeys': [
    ...['name', 'sha256'].map(field => ({
      rule: `self.all(a, !has(a.${field}) || self.exists_one(b, has(b.${field}) && b.${field} == a.${field}))`,
      message: `two keys have one ${field}`,
    })),
    {
      rule: 'self.all(a, !has(a.secretRef) || self.exists_one(b, has(b.secretRef) && b.secretRef.name == a.secretRef.name && b.secretRef.key == a.secretRef.key))',
      message: 'two keys have one secretRef',
    },
  ],
  'spec.apiKeys[]': [
    {
      rule: 'has(self.sha256) != has(self.secretRef)',
      message: 'a key needs either sha256 or secretRef, and not both',
    },
    {
      // At the whole key: the API server shows the strings that rules refuse, but not the mappings.
      rule: "!has(self.sha256) || self.sha256.matches('^[0-9a-fA-F]{64}$')",
      message:
        'sha256 is the SHA-256 of a key, 64 hexadecimal digits, not a key: run `fairlead keys new`, which prints its digest',
    },
    {
      rule: `!has(self.name) || self.name.matches('${LABEL_PATTERN}')`,
      message: 'name has lower-case letters, digits and dashes',
    },
    {
      rule: `!has(self.secretRef) || (self.secretRef.name.matches('${SUBDOMAIN_PATTERN}') && self.secretRef.key.matches('${SECRET_KEY_PATTERN}'))`,
      message: 'secretRef has the name of a Secret, and of a key in it',
    },
  ],
  'spec.jwt[]': [
    {
      rule: 'has(self.subject) || (has(self.claims) && self.claims.size() > 0)',
      message: 'needs subject or claims: every token of the issuer would fit',
    },
    {
      rule: "!has(self.subject) || !has(self.claims) || !('sub' in self.claims)",
      message: 'subject and the claim sub say the same: one must go',
    },
    { rule: `!has(self.claims) || self.claims.size() <= ${MAX_CLAIMS}`, message: `at most ${MAX_CLAIMS} claims` },
  ],
  'spec.users[]': nameRules('a user', false),
  'spec.userHeader': nameRules('a user', false),
  'spec.models[]': modelPatternRules(),
  'spec.limits[]': limitRules(),
  ...limitedModelRules('spec.limits[]'),
  'spec.budget.amount': moneyRules(),
};

function limitRules(): CelRule[] {
  return [
    {
      rule: '[has(self.requests), has(self.tokens), has(self.inputTokens), has(self.outputTokens), has(self.concurrency)].exists_one(given, given)',
      message: 'a limit is about exactly one of requests, tokens, inputTokens, outputTokens and concurrency',
    },
    {
      rule: 'has(self.per) != has(self.concurrency)',
      message: 'a limit needs per, but for concurrency, which has none',
    },
    {
      rule: '!(has(self.models) && has(self.model)) && !(has(self.endpoints) && has(self.endpoint))',
      message: 'give models or model, and endpoints or endpoint, but not both',
    },
  ];
}

/** Of the models of the limits at `path`. */
function limitedModelRules(path: string): Readonly<Record<string, readonly CelRule[]>> {
  return { [`${path}.models[]`]: modelPatternRules(), [`${path}.model`]: modelPatternRules() };
}

function modelPatternRules(): CelRule[] {
  const message = 'the only wildcard is *, which is any characters';
  return [...nameRules('a model', false), { rule: `!self.matches(r'${OTHER_WILDCARD_PATTERN}')`, message }];
}

function moneyRules(): CelRule[] {
  return [{ rule: `double(self) <= ${MAX_AMOUNT}.0`, message: `expected at most ${MAX_AMOUNT}` }];
}

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
