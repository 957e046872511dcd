import type { Gateway } from '../../proto/gen/fairlead/v1/table_pb.js';

/** Names of the Secrets that a gateway refers to, whether they are there or not. */
export function usedSecrets({ listeners, authentication, limitStore }: Gateway): ReadonlySet<string> {
  const { password, ca } = limitStore?.valkey ?? {};
  const references = [
    ...listeners.map(({ tls }) => tls),
    ...(authentication?.jwtIssuers.map(issuer => issuer.ca) ?? []),
    password,
    ca,
  ];
  return new Set(references.flatMap(reference => reference?.secret ?? []));
}
