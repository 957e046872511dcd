import { type DestinationStream, destination, type Logger, pino, stdTimeFunctions } from 'pino';

const STDERR = 2;

/**
 * The log of a process or thread: one JSON line an event, `log.info({ event: 'model.published', model })`, written when
 * the call returns, so that the last words of a process are not lost. Standard error by default, where Envoy and every
 * child of ours writes too.
 *
 * @param level pino's: "debug", "info", "warn", "error", "silent"
 */
export function createLog(level: string, to: DestinationStream = destination({ fd: STDERR, sync: true })): Logger {
  return pino(
    {
      level,
      base: null,
      timestamp: stdTimeFunctions.isoTime,
      formatters: { level: label => ({ level: label }) },
    },
    to,
  );
}
