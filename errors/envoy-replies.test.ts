import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { ErrorCode } from './codes.ts';
import { codeOf } from './envoy-replies.ts';

type Record = readonly [details: string, flags: string, status: number, code: ErrorCode | undefined];

/** As Envoy 1.40.0 wrote them into its access log, its replies with the status that the mappers gave them. */
const SEEN: readonly Record[] = [
  ['via_upstream', '', 200, undefined],
  ['via_upstream', '', 400, undefined],
  ['via_upstream', 'URX', 503, undefined],
  ['direct_response', '', 200, undefined],
  ['fairlead_model_not_found', '', 404, 'model_not_found'],
  ['fairlead_no_such_code', '', 400, 'internal_error'],
  ['rbac_access_denied_matched_policy[none]', '', 503, 'gateway_unavailable'],
  ['jwt_authn_access_denied{Jwt_is_expired}', '', 401, 'expired_token'],
  ['jwt_authn_access_denied{Jwt_verification_fails}', '', 401, 'invalid_token'],
  ['jwt_authn_access_denied{Audiences_in_Jwt_are_not_allowed}', '', 401, 'invalid_token'],
  ['jwt_authn_access_denied{Jwks_remote_fetch_is_failed}', '', 401, 'gateway_unavailable'],
  ['ext_proc_error_gRPC_error_14{…}', '', 503, 'gateway_unavailable'],
  ['spurious_message', '', 503, 'gateway_unavailable'],
  ['mismatch_between_content_length_and_the_length_of_the_mutated_body', '', 500, 'internal_error'],
  ['upstream_reset_before_response_started{remote_connection_failure|…}', 'URX UF', 503, 'no_ready_endpoints'],
  ['no_healthy_upstream', 'UH', 503, 'no_ready_endpoints'],
  ['cluster_not_found', 'NC', 503, 'no_ready_endpoints'],
  ['upstream_reset_before_response_started{overflow}', 'UO', 503, 'overloaded'],
  ['overload', '', 503, 'overloaded'],
  ['upstream_reset_before_response_started{connection_timeout}', 'URX UF', 504, 'upstream_connect_timeout'],
  ['upstream_per_try_timeout', 'UT URX', 504, 'upstream_headers_timeout'],
  ['upstream_per_try_idle_timeout', 'UT URX', 504, 'upstream_headers_timeout'],
  ['upstream_per_try_idle_timeout', 'UT', 200, 'upstream_timeout'],
  ['stream_idle_timeout', 'SI', 200, 'upstream_timeout'],
  ['stream_idle_timeout', 'SI', 408, 'request_timeout'],
  ['response_timeout', 'UT', 504, 'upstream_timeout'],
  ['response_timeout', 'UT', 200, 'upstream_timeout'],
  ['upstream_reset_before_response_started{connection_termination}', 'UC URX', 502, 'upstream_reset'],
  ['upstream_reset_before_response_started{protocol_error}', 'UPE URX', 502, 'upstream_error'],
  ['upstream_reset_after_response_started{protocol_error}', 'UPE', 200, 'upstream_reset'],
  ['upstream_reset_after_response_started{connection_termination}', 'UC', 200, 'upstream_reset'],
  ['route_not_found', 'NR', 404, 'route_not_found'],
  ['request_payload_too_large', '', 413, 'request_too_large'],
  ['request_header_timeout', '', 408, 'request_timeout'],
  ['request_overall_timeout', '', 408, 'request_timeout'],
  ['upgrade_failed', '', 403, 'upgrade_not_allowed'],
  ['low_version', 'DPE', 426, 'upgrade_required'],
  ['http1.headers_too_large', 'DPE', 431, 'headers_too_large'],
  ['http1.codec_error', 'DPE', 400, 'bad_request'],
  ['http1.invalid_transfer_encoding', 'DPE', 400, 'bad_request'],
  ['http1.invalid_transfer_encoding', 'DPE', 501, 'bad_request'],
  ['missing_host_header', '', 400, 'bad_request'],
  ['path_normalization_failed', '', 400, 'bad_request'],
  ['downstream_remote_disconnect', 'DC', 0, 'client_closed_request'],
  ['downstream_remote_disconnect', 'DC', 200, 'client_closed_request'],
];

for (const [details, flags, status, code] of SEEN) {
  test(`${status} ${details} ${flags} is ${code ?? 'no error of ours'}`, () => {
    assert.equal(codeOf(details, flagSet(flags), status), code);
  });
}

test('whatever an exchange ended with has a code, unless it ended well or by the upstream', () => {
  const flag = fc.constantFrom('UT', 'URX', 'SI', 'UF', 'DPE', 'XX');
  fc.assert(
    fc.property(fc.string(), fc.uniqueArray(flag), fc.integer({ min: 400, max: 599 }), (details, flags, status) => {
      assert.ok(codeOf(`x${details}`, new Set(flags), status));
    }),
  );
});

function flagSet(flags: string): ReadonlySet<string> {
  return new Set(flags.split(' ').filter(Boolean));
}
