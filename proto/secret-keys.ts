/** Keys of a Secret of type kubernetes.io/tls: https://kubernetes.io/docs/concepts/configuration/secret/#tls-secrets */
export const TLS_CERTIFICATE = 'tls.crt';
export const TLS_PRIVATE_KEY = 'tls.key';
