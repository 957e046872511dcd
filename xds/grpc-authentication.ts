import { type Metadata, ServerInterceptingCall, type ServerInterceptor, status } from '@grpc/grpc-js';

/** Why a stream is not served. */
interface Refusal {
  readonly code: status;
  readonly details: string;
}

/** A peer that may have its stream. */
interface Admission {
  /** The stream ends then, milliseconds since the epoch; undefined when it may stay. */
  readonly endsAtMs?: number | undefined;
  /** Why the stream ends with this message of the peer's; undefined when it may say it. */
  objection(message: unknown): Refusal | undefined;
}

/** Decides on a stream by its headers; `peer` is the address that it comes from. A rejection refuses it, too. */
export type Authenticate = (metadata: Metadata, peer: string) => Promise<Admission | Refusal>;

/** setTimeout knows no more; a stream that ends after 24 days comes back. */
const maxTimeoutMs = 2 ** 31 - 1;

/** Lets no stream reach its handler, and reads none of its messages, before `authenticate` has admitted it. */
export function authenticating(authenticate: Authenticate): ServerInterceptor {
  return (_method, call) => {
    let admission: Admission | undefined;
    let over = false;
    let timer: NodeJS.Timeout | undefined;
    const end = ({ code, details }: Refusal) => {
      if (over) return;
      over = true;
      clearTimeout(timer);
      call.sendStatus({ code, details });
    };
    return new ServerInterceptingCall(call, {
      start: next =>
        next({
          onReceiveMetadata: (metadata, proceed) => {
            authenticate(metadata, call.getPeer()).then(
              answer => {
                if ('code' in answer) {
                  end(answer);
                } else if (!over) {
                  admission = answer;
                  timer = endingAt(answer.endsAtMs, end);
                  proceed(metadata);
                }
              },
              error => end({ code: status.UNAVAILABLE, details: `the stream could not be checked: ${error}` }),
            );
          },
          onReceiveMessage: (message, proceed) => {
            const objection = admission?.objection(message);
            if (objection) end(objection);
            else proceed(message);
          },
          onReceiveHalfClose: proceed => proceed(),
          onCancel: () => {
            over = true;
            clearTimeout(timer);
          },
        }),
    });
  };
}

function endingAt(endsAtMs: number | undefined, end: (refusal: Refusal) => void): NodeJS.Timeout | undefined {
  if (endsAtMs === undefined) return undefined;
  const details = 'what was shown when the stream began has expired';
  const waitMs = Math.min(maxTimeoutMs, Math.max(0, endsAtMs - Date.now()));
  return setTimeout(() => end({ code: status.UNAUTHENTICATED, details }), waitMs).unref();
}
