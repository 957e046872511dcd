import { ATTEMPT_LOG } from '../../proto/exchange-names.ts';
import type { AccessLogHandler } from '../server/transport.ts';
import { readAccessRecord } from './access-record.ts';
import type { Ledger } from './ledger.ts';

/** Hands what Envoy's logs say to the ledger: one is about failed attempts, one about whole exchanges. */
export function accessLogOf(ledger: Ledger): AccessLogHandler {
  return {
    entries: (logName, entries) => {
      for (const bytes of entries) {
        const record = readAccessRecord(bytes);
        if (record === undefined) continue;
        if (logName === ATTEMPT_LOG) ledger.attemptFailed(record);
        else ledger.settle(record);
      }
    },
  };
}
