import { type ErrorDialect, errorBody } from '../../errors/body.ts';
import { type ErrorCode, errorSpec } from '../../errors/codes.ts';
import {
  ENVOY_REPLIES,
  type EnvoyReply,
  FIXED_ANSWER_DETAILS,
  OWN_DETAILS_PREFIX,
  UNTOLD_REPLY,
} from '../../errors/envoy-replies.ts';
import { refuse } from '../../errors/refusal.ts';
import type {
  AccessLogFilterJson,
  ComparisonFilter_OpJson,
} from '../../proto/gen/envoy/config/accesslog/v3/accesslog_pb.js';
import type { HeaderValueOptionJson } from '../../proto/gen/envoy/config/core/v3/base_pb.js';
import type { SubstitutionFormatStringJson } from '../../proto/gen/envoy/config/core/v3/substitution_format_string_pb.js';
import { ExpressionFilterSchema } from '../../proto/gen/envoy/extensions/access_loggers/filters/cel/v3/cel_pb.js';
import type {
  LocalReplyConfigJson,
  ResponseMapperJson,
} from '../../proto/gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js';
import { typedConfig } from './typed-config.ts';

/** Statuses that a reply of Envoy's can have: what none of the table's signs tells is still an error of ours. */
const ANY_ERROR: EnvoyReply['sign'] = { status: [400, 599] };

/**
 * Every answer that Envoy makes itself, in the shape that the client's SDK reads. What extproc answered passes as it
 * is: to Envoy those are replies of its own, too, and any mapper below would wrap them.
 */
export function localReplies(): LocalReplyConfigJson {
  const replies: EnvoyReply[] = [...ENVOY_REPLIES, { sign: ANY_ERROR, code: UNTOLD_REPLY }];
  return { mappers: [passThrough(), ...replies.flatMap(inBothDialects)] };
}

function passThrough(): ResponseMapperJson {
  const own = `response.code_details.startsWith('${OWN_DETAILS_PREFIX}')`;
  return {
    filter: cel(`${own} || response.code_details == '${FIXED_ANSWER_DETAILS}'`),
    bodyFormatOverride: json('%LOCAL_REPLY_BODY%'),
  };
}

/** A request that could not be parsed has no path: the expression fails, and the shape is OpenAI's. */
const ANTHROPIC_PATH = cel("request.path.startsWith('/v1/messages')");

function inBothDialects({ sign, code }: EnvoyReply): ResponseMapperJson[] {
  const filters = signFilters(sign);
  return [
    { filter: allOf([...filters, ANTHROPIC_PATH]), ...rewritten(code, 'anthropic') },
    { filter: allOf(filters), ...rewritten(code, 'openai') },
  ];
}

function rewritten(code: ErrorCode, dialect: ErrorDialect): Omit<ResponseMapperJson, 'filter'> {
  const { status, retryAfterSeconds } = errorSpec(code);
  const headersToAdd = [
    ...(retryAfterSeconds === undefined ? [] : [overwrite('retry-after', String(retryAfterSeconds))]),
    ...(status === 401 ? [overwrite('www-authenticate', CHALLENGE)] : []),
  ];
  return {
    statusCode: status,
    // A percent sign would begin a substitution.
    bodyFormatOverride: json(errorBody(refuse(code), dialect).replaceAll('%', '%%')),
    ...(headersToAdd.length > 0 && { headersToAdd }),
  };
}

/** Of a token that was refused (RFC 6750 §3). Envoy's own repeats whatever host and path the client sent. */
const CHALLENGE = 'Bearer error="invalid_token"';

function overwrite(key: string, value: string): HeaderValueOptionJson {
  return { header: { key, value }, appendAction: 'OVERWRITE_IF_EXISTS_OR_ADD' };
}

function signFilters({ details, flags, status }: EnvoyReply['sign']): AccessLogFilterJson[] {
  const filters: AccessLogFilterJson[] = [];
  if (details) filters.push(cel(details.map(startsWith).join(' || ')));
  if (flags) filters.push({ responseFlagFilter: { flags: [...flags] } });
  if (status) filters.push(compareStatus('GE', status[0]), compareStatus('LE', status[1]));
  return filters;
}

/** Envoy wants at least two filters in an "and". */
function allOf(filters: AccessLogFilterJson[]): AccessLogFilterJson {
  const [only, ...others] = filters;
  return only && others.length === 0 ? only : { andFilter: { filters } };
}

function startsWith(prefix: string): string {
  return `response.code_details.startsWith('${prefix}')`;
}

function compareStatus(op: ComparisonFilter_OpJson, defaultValue: number): AccessLogFilterJson {
  return { statusCodeFilter: { comparison: { op, value: { defaultValue, runtimeKey: 'fairlead.unused' } } } };
}

function cel(expression: string): AccessLogFilterJson {
  return {
    extensionFilter: {
      name: 'envoy.access_loggers.extension_filters.cel',
      typedConfig: typedConfig(ExpressionFilterSchema, { expression }),
    },
  };
}

function json(text: string): SubstitutionFormatStringJson {
  return { textFormatSource: { inlineString: text }, contentType: 'application/json' };
}
