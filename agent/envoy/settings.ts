/** What this node decides, as opposed to the table. */
export interface EnvoySettings {
  /** File that the JSON access log is appended to; /dev/stdout for Envoy's standard output. */
  readonly accessLogPath: string;
}
