import { type Metadata, ServerInterceptingCall, type ServerInterceptor, status } from '@grpc/grpc-js';

/** Why a stream is not served. */
interface Refusal {
  readonly code: status;
  readonly details: string;
}

/** A peer that may have its stream. */
interface Admission {
  /** Why the stream ends with this message of the peer's; undefined when it may say it. */
  objection(message: unknown): Refusal | undefined;
}

/** Decides on a stream by its headers; `peer` is the address that it comes from. A rejection refuses it, too. */
export type Authenticate = (metadata: Metadata, peer: string) => Promise<Admission | Refusal>;

/** Lets no stream reach its handler, and reads none of its messages, before `authenticate` has admitted it. */
export function authenticating(authenticate: Authenticate): ServerInterceptor {
  return (_method, call) => {
    let admission: Admission | undefined;
    let over = false;
    const end = ({ code, details }: Refusal) => {
      if (over) return;
      over = true;
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
                } else {
                  admission = answer;
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
          },
        }),
    });
  };
}
