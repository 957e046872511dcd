import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import {
  admitsRequest,
  afterFailure,
  afterProbeEnded,
  afterProbeSent,
  afterSuccess,
  BASE_EJECTION_MS,
  CLOSED,
  type EjectionState,
  ejectionPhase,
  FAILURES_TO_EJECT,
  MAX_EJECTION_MS,
} from './ejection.ts';

type Event = 'fails' | 'answers' | 'probe sent' | 'probe ends';

/** What each event at a time does, and the phase and admission expected right after it. */
type Step = readonly [atMs: number, event: Event | 'waits', phase: string, admits: boolean];

function after(state: EjectionState, event: Event | 'waits', nowMs: number): EjectionState {
  switch (event) {
    case 'fails':
      return afterFailure(state, 'reset', nowMs);
    case 'answers':
      return afterSuccess(state, nowMs);
    case 'probe sent':
      return afterProbeSent(state);
    case 'probe ends':
      return afterProbeEnded(state);
    case 'waits':
      return state;
  }
}

const ejected: readonly Step[] = [
  [0, 'fails', 'closed', true],
  [0, 'fails', 'closed', true],
  [0, 'fails', 'ejected', false],
];

const table: Readonly<Record<string, readonly Step[]>> = {
  'three failures in a row eject for five seconds': [
    ...ejected,
    [4_999, 'waits', 'ejected', false],
    [5_000, 'waits', 'half-open', true],
  ],
  'a success in between starts the count again': [
    [0, 'fails', 'closed', true],
    [0, 'fails', 'closed', true],
    [0, 'answers', 'closed', true],
    [0, 'fails', 'closed', true],
    [0, 'fails', 'closed', true],
    [0, 'fails', 'ejected', false],
  ],
  'one probe at a time, and its success closes': [
    ...ejected,
    [5_000, 'probe sent', 'half-open', false],
    [5_500, 'answers', 'closed', true],
  ],
  'a probe that ends unheard of lets the next one go': [
    ...ejected,
    [5_000, 'probe sent', 'half-open', false],
    [5_500, 'probe ends', 'half-open', true],
    [5_600, 'probe sent', 'half-open', false],
  ],
  'a probe that fails ejects for twice as long, also when its end was heard of before its failure': [
    ...ejected,
    [5_000, 'probe sent', 'half-open', false],
    [5_100, 'probe ends', 'half-open', true],
    [5_120, 'fails', 'ejected', false],
    [15_119, 'waits', 'ejected', false],
    [15_120, 'waits', 'half-open', true],
  ],
  'failures of requests already on their way do not lengthen it': [
    ...ejected,
    [1_000, 'fails', 'ejected', false],
    [4_000, 'fails', 'ejected', false],
    [5_000, 'waits', 'half-open', true],
    [5_100, 'fails', 'half-open', true],
    [5_200, 'fails', 'half-open', true],
  ],
  'a success while ejected lets probing begin at once': [
    ...ejected,
    [1_000, 'answers', 'half-open', true],
    [1_000, 'probe sent', 'half-open', false],
    [1_100, 'fails', 'ejected', false],
    [11_099, 'waits', 'ejected', false],
    [11_100, 'waits', 'half-open', true],
  ],
};

describe('ejection', () => {
  for (const [name, steps] of Object.entries(table)) {
    it(name, () => {
      let state = CLOSED;
      for (const [index, [atMs, event, phase, admits]] of steps.entries()) {
        state = after(state, event, atMs);
        const seen = [ejectionPhase(state, atMs), admitsRequest(state, atMs)];
        assert.deepEqual(seen, [phase, admits], `after step ${index}: ${event} at ${atMs}`);
      }
    });
  }

  it('doubles from 5 s up to a minute while probes fail, and no further', () => {
    let state = CLOSED;
    let nowMs = 0;
    for (let failed = 0; failed < FAILURES_TO_EJECT; failed++) state = afterFailure(state, 'connect', nowMs);
    const lengthsMs: number[] = [];
    for (let ejection = 0; ejection < 7; ejection++) {
      lengthsMs.push(state.ejectedUntilMs - nowMs);
      nowMs = state.ejectedUntilMs;
      state = afterFailure(afterProbeSent(state), 'connect', nowMs);
    }
    assert.deepEqual(lengthsMs, [5_000, 10_000, 20_000, 40_000, 60_000, 60_000, 60_000]);
    assert.equal(state.lastFailure, 'connect');
  });

  it('whatever happens, lasts a minute at most, and two successes end it', () => {
    const event = fc.constantFrom<Event>('fails', 'answers', 'probe sent', 'probe ends');
    fc.assert(
      fc.property(fc.array(fc.tuple(event, fc.nat(20_000)), { maxLength: 60, size: 'max' }), events => {
        let state = CLOSED;
        let nowMs = 0;
        for (const [event, waitedMs] of events) {
          nowMs += waitedMs;
          if (event === 'probe sent' && !(ejectionPhase(state, nowMs) === 'half-open' && admitsRequest(state, nowMs))) {
            continue;
          }
          state = after(state, event, nowMs);
          assert.ok(state.ejectedUntilMs <= nowMs + MAX_EJECTION_MS);
          if (ejectionPhase(state, nowMs) === 'ejected') assert.ok(state.ejectedUntilMs > nowMs);
        }
        assert.equal(afterSuccess(afterSuccess(state, nowMs), nowMs), CLOSED);
      }),
    );
    assert.ok(BASE_EJECTION_MS < MAX_EJECTION_MS);
  });
});
