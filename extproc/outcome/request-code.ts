import type { ErrorCode } from '../../errors/codes.ts';
import { OWN_DETAILS_PREFIX } from '../../errors/envoy-replies.ts';
import type { AccessRecord } from './access-record.ts';

/** Our name for how an exchange ended; undefined where the endpoint's own answer ended it. */
export type CodeOf = (details: string, flags: ReadonlySet<string>, status: number) => ErrorCode | undefined;

/** What a request is counted under: the status of an answer as its endpoint made it, else the error's code. */
export function requestCode({ details, flags, status }: AccessRecord, codeOf: CodeOf): string {
  const clientGone = flags.has('DC') || flags.has('DR');
  // An answer may carry a flag all the same: URX, when it is the last of several attempts.
  const answered = details === 'via_upstream' || (details.startsWith(OWN_DETAILS_PREFIX) && status < 400);
  if (answered && !clientGone) return String(status);
  return codeOf(details, flags, status) ?? String(status);
}
