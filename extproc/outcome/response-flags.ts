import { eachField, type WireReader } from '../server/wire-reader.ts';

/**
 * Envoy's short names of the fields of envoy.data.accesslog.v3.ResponseFlags, by field number:
 * https://www.envoyproxy.io/docs/envoy/v1.40.0/configuration/observability/access_log/usage#response-flags
 */
const FLAG_NAMES = [
  '',
  ...['LH', 'UH', 'UT', 'LR', 'UR', 'UF', 'UC', 'UO', 'NR', 'DI', 'FI', 'RL', 'UAEX', 'RLSE'],
  ...['DC', 'URX', 'SI', 'IH', 'DPE', 'UMSDR', 'RFCF', 'NFCF', 'DT', 'UPE', 'NC', 'OM', 'DF', 'DR'],
] as const;

const BOOL = 0;
const MESSAGE = 2;

/** The short names of the flags that are set. All but one are bools; that one is a message, set by being there. */
export function readFlags(message: WireReader): ReadonlySet<string> {
  return eachField(message, new Set<string>(), readFlag);
}

function readFlag(tag: number, message: WireReader, flags: Set<string>): boolean {
  const name = FLAG_NAMES[tag >>> 3];
  if (name === undefined) return false;
  const wireType = tag & 7;
  if (wireType !== BOOL && wireType !== MESSAGE) return false;
  if (wireType === MESSAGE) message.span();
  else if (message.varint() === 0) return true;
  flags.add(name);
  return true;
}
