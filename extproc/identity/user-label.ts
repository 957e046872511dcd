import { type Refusal, refuse } from '../../errors/refusal.ts';
import type { HeaderLookup } from '../request/head.ts';
import { UNPRINTABLE } from '../request/model-name.ts';

const HEADER = 'user';
/** Longest value of the `user` header, UTF-8 bytes. */
const MAX_USER_BYTES = 256;

/** What the `user` header says; empty when it is absent, `invalid_parameter` when it cannot be a name. */
export function userLabel(headers: HeaderLookup): string | Refusal {
  const values = headers.all(HEADER);
  if (values.length > 1) return refuseUser('was sent more than once. Send it once.');
  const user = values[0]?.trim() ?? '';
  if (user.length > MAX_USER_BYTES || Buffer.byteLength(user) > MAX_USER_BYTES) {
    return refuseUser(`is longer than ${MAX_USER_BYTES} bytes. Send a shorter name.`);
  }
  if (UNPRINTABLE.test(user)) return refuseUser('has control characters. Send it without them.');
  return user;
}

function refuseUser(what: string): Refusal {
  return refuse('invalid_parameter', { message: `The user header ${what}`, param: HEADER });
}
