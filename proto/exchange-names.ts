/**
 * What crosses the wire between Envoy and extproc beside the messages themselves: what the one writes under these
 * names, the other reads.
 */

/** Every header of ours begins like this. */
export const OWN_HEADER_PREFIX = 'x-fairlead-';
/** Request header by which extproc names the cluster. */
export const CLUSTER_HEADER = 'x-fairlead-cluster';
/** Request header by which extproc names the timeouts, see `routeProfile`. */
export const ROUTE_HEADER = 'x-fairlead-route';
/**
 * Request header by which a listener that asks for keys or tokens says so: the number of its AuthenticationMode. A
 * connection may outlive the listener's setting.
 */
export const AUTHENTICATION_HEADER = 'x-fairlead-authentication';
/**
 * Request header that carries an exchange's id to its endpoint and into the records of its attempts: Envoy gives those
 * no dynamic metadata.
 */
export const ID_HEADER = 'x-fairlead-id';
/** Request header, Envoy's own, by which extproc says how many further candidates there are. */
export const MAX_RETRIES_HEADER = 'x-envoy-max-retries';

/** Dynamic metadata that extproc sets. */
export const EXCHANGE_NAMESPACE = 'fairlead';
/** What is in it, as text; each only where there is something to say. */
export type ExchangeFact =
  | 'id'
  | 'admitted'
  | 'consumer'
  | 'model'
  | 'backend'
  | 'runtime'
  | 'strategy'
  | 'explain'
  | RateLimitFact;
/** What the client learns of its tightest limit on requests, and on tokens: the values of its `x-ratelimit-*` headers. */
export type RateLimitFact = `rl_${'limit' | 'remaining' | 'reset'}_${'requests' | 'tokens'}`;
/** The value of `admitted`: nothing passes without. */
export const ADMITTED = '1';

/** Dynamic metadata with the picked endpoints, in order: "ip:port,ip:port". */
export const PICK_NAMESPACE = 'envoy.lb';
export const PICK_KEY = 'x-gateway-destination-endpoint';

/** Dynamic metadata of Envoy's token filter: the claims of the token that it accepted, under its issuer's name. */
export const JWT_NAMESPACE = 'envoy.filters.http.jwt_authn';

/** Typed metadata in which Envoy's AI protocol manager leaves the tokens that it read. */
export const TOKEN_USAGE_NAMESPACE = 'envoy.ai.token_usage';

/** The access log of whole exchanges, one record each, and that of failed attempts. */
export const EXCHANGE_LOG = 'end';
export const ATTEMPT_LOG = 'attempt';
