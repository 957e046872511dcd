import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { codeOf } from '../../errors/envoy-replies.ts';
import type { AttemptFailure } from '../endpoint-load/ejection.ts';
import type { AccessRecord } from './access-record.ts';
import { recorded, recordedExchanges } from './envoy-records.fixture.ts';
import { attemptFailure, exchangeFailure, isAnswered, isRetried } from './failure.ts';
import { requestCode } from './request-code.ts';

interface Verdict {
  /** Of each failed attempt: what is held against its endpoint, and whether Envoy goes on. */
  readonly attempts?: readonly (readonly [failure: AttemptFailure | undefined, retried: boolean])[];
  /** What only the record of the whole holds against the last endpoint. */
  readonly failure?: AttemptFailure;
  readonly answered: boolean;
  /** What it is counted under. */
  readonly code: string;
}

const VERDICTS: Readonly<Record<string, Verdict>> = {
  answered: { answered: true, code: '200' },
  streamed: { answered: true, code: '200' },
  400: { answered: true, code: '400' },
  500: { attempts: [['status', false]], answered: false, code: '500' },
  '429, then answered': { attempts: [[undefined, true]], answered: true, code: '200' },
  '429, then 429': {
    attempts: [
      [undefined, true],
      [undefined, true],
    ],
    answered: true,
    code: '429',
  },
  '503, then answered': { attempts: [['status', true]], answered: true, code: '200' },
  '503, then 503': {
    attempts: [
      ['status', true],
      ['status', true],
    ],
    answered: false,
    code: '503',
  },
  '503, then client gone before headers': {
    attempts: [['status', true]],
    answered: false,
    code: 'client_closed_request',
  },
  'refused connection': { attempts: [['connect', true]], answered: false, code: 'no_ready_endpoints' },
  'refused connection, then answered': { attempts: [['connect', true]], answered: true, code: '200' },
  reset: { attempts: [['reset', true]], answered: false, code: 'upstream_reset' },
  closed: { attempts: [['reset', true]], answered: false, code: 'upstream_reset' },
  'reset, then answered': { attempts: [['reset', true]], answered: true, code: '200' },
  'reset in mid-stream': { attempts: [['reset', false]], answered: false, code: 'upstream_reset' },
  'closed in mid-stream': { attempts: [['reset', false]], answered: false, code: 'upstream_reset' },
  'no headers in time': { attempts: [['timeout', true]], answered: false, code: 'upstream_headers_timeout' },
  'no headers in time, then answered': { attempts: [['timeout', true]], answered: true, code: '200' },
  'no headers until the exchange timed out': { failure: 'timeout', answered: false, code: 'upstream_timeout' },
  'longer than the exchange may take': { answered: false, code: 'upstream_timeout' },
  'client gone in mid-stream': { answered: true, code: 'client_closed_request' },
  'client gone before headers': { answered: false, code: 'client_closed_request' },
  'no such endpoint': { answered: false, code: 'no_ready_endpoints' },
  'refused by extproc': { answered: false, code: 'model_not_found' },
};

describe('what Envoy recorded of an exchange', () => {
  it('is judged in every case', () => {
    assert.deepEqual(recordedExchanges.toSorted(), Object.keys(VERDICTS).toSorted());
  });

  for (const [name, verdict] of Object.entries(VERDICTS)) {
    it(name, () => {
      const { attempts, end } = recorded(name);
      assert.deepEqual(
        attempts.map(record => [attemptFailure(record), isRetried(record)]),
        verdict.attempts ?? [],
      );
      assert.equal(exchangeFailure(end), verdict.failure);
      assert.equal(isAnswered(end), verdict.answered);
      assert.equal(requestCode(end, codeOf), verdict.code);
    });
  }
});

describe('an attempt', () => {
  const { end: plain } = recorded('answered');
  const attempt = (status: number, ...flags: string[]): AccessRecord => ({ ...plain, status, flags: new Set(flags) });

  it('that the client broke off is nobody’s failure', () => {
    assert.equal(attemptFailure(attempt(0, 'UC', 'DC')), undefined);
    assert.equal(isRetried(attempt(0, 'UC', 'DC')), false);
  });

  it('that no connection was free for is nobody’s failure', () => {
    assert.equal(attemptFailure(attempt(0, 'UO')), undefined);
    assert.equal(isRetried(attempt(0, 'UO')), false);
  });

  it('that fell silent after its answer began may have a client that does not read', () => {
    assert.equal(attemptFailure(attempt(200, 'SI')), undefined);
  });

  it('that answered 4xx is the caller’s doing', () => {
    for (const status of [400, 401, 404, 413, 429]) assert.equal(attemptFailure(attempt(status)), undefined);
  });

  it('that answered 5xx is a failure, whatever the flags', () => {
    for (const status of [500, 502, 503, 504, 529]) assert.equal(attemptFailure(attempt(status, 'UC')), 'status');
  });
});

describe('an answer of ours', () => {
  it('that is no error is counted by its status', () => {
    const { end } = recorded('refused by extproc');
    assert.equal(requestCode({ ...end, status: 200, details: 'fairlead_answered' }, codeOf), '200');
  });
});
