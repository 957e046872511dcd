import assert from 'node:assert/strict';
import { describe, it, mock } from 'node:test';
import { type StoreCharge, StoreWriter } from './store-writer.ts';
import { StoreUnavailable } from './valkey-connection.ts';

/** A store that answers when told, and a writer to it. */
function open(failure = new Error('away')) {
  const sent: { sequence: number; ids: string[]; ages: number[] }[] = [];
  /** What came to each counter, and in how many parts. */
  const added = new Map<string, { amount: number; sends: number }>();
  const clock = { ms: 1_000 };
  let away = false;
  const writer = new StoreWriter({
    elapsedMs: () => clock.ms,
    send: async (sequence, operations) => {
      sent.push({ sequence, ids: operations.map(([, id]) => id), ages: operations.map(([, , , age]) => age) });
      if (away) throw failure;
      for (const [key, , , amount] of operations.flatMap(([what, , charges]) => (what === 'add' ? charges : []))) {
        const before = added.get(key);
        added.set(key, { amount: (before?.amount ?? 0) + amount, sends: (before?.sends ?? 0) + 1 });
      }
      return 0;
    },
  });
  return {
    sent,
    added,
    writer,
    clock,
    setAway: (is: boolean) => {
      away = is;
    },
    push: (...ids: string[]) => {
      for (const id of ids) writer.push(['settle', id, []], false);
    },
  };
}

/** Another store. */
function listen() {
  const heard: [amount: number, ageMs: number][] = [];
  const heir = (charges: readonly StoreCharge[], ageMs: number) => {
    for (const [, , , amount] of charges) heard.push([amount, ageMs]);
  };
  return { heard, heir };
}

describe('store writer', () => {
  it('sends what comes together in one batch, in order', async () => {
    const { sent, writer, push } = open();
    push('a', 'b', 'c');
    assert.equal(await writer.flush(), true);
    assert.deepEqual(sent, [{ sequence: 1, ids: ['a', 'b', 'c'], ages: [0, 0, 0] }]);
    assert.equal(await writer.flush(), true);
    assert.equal(sent.length, 1);
  });

  it('sends large numbers in several batches', async () => {
    const { sent, writer, push } = open();
    const ids = Array.from({ length: 450 }, (_, i) => `${i}`);
    push(...ids);
    assert.equal(await writer.flush(), true);
    assert.deepEqual(
      sent.map(({ sequence, ids }) => [sequence, ids.length]),
      [
        [1, 200],
        [2, 200],
        [3, 50],
      ],
    );
    assert.deepEqual(
      sent.flatMap(({ ids }) => ids),
      ids,
    );
  });

  it('sends a batch again as it was, with its age, before what came later', async () => {
    const { sent, writer, push, setAway, clock } = open();
    setAway(true);
    push('a');
    assert.equal(await writer.flush(), false);
    clock.ms += 700;
    push('b');
    setAway(false);
    clock.ms += 300;
    assert.equal(await writer.flush(), true);
    assert.deepEqual(sent, [
      { sequence: 1, ids: ['a'], ages: [0] },
      { sequence: 1, ids: ['a'], ages: [1_000] },
      { sequence: 2, ids: ['b'], ages: [300] },
    ]);
  });

  it('waits a little for more, and tries again by itself', async () => {
    mock.timers.enable({ apis: ['setTimeout'] });
    try {
      const { sent, push, setAway } = open();
      setAway(true);
      push('a');
      mock.timers.tick(49);
      assert.equal(sent.length, 0);
      push('b');
      mock.timers.tick(1);
      assert.deepEqual(
        sent.map(({ ids }) => ids),
        [['a', 'b']],
      );
      await turn();
      mock.timers.tick(250);
      assert.equal(sent.length, 2);
    } finally {
      mock.timers.reset();
    }
  });

  it('does not wait where somebody waits for it', async () => {
    const { sent, writer } = open();
    writer.push(['release', 'a', []], true);
    writer.push(['release', 'b', []], true);
    await turn();
    assert.deepEqual(
      sent.map(({ ids }) => ids),
      [['a', 'b']],
    );
  });

  it('drops the oldest of more than it holds', async () => {
    const { sent, writer, push, setAway } = open();
    setAway(true);
    push('first');
    await writer.flush();
    const ids = Array.from({ length: 10_003 }, (_, i) => `${i}`);
    push(...ids);
    assert.equal(writer.dropped, 3);
    setAway(false);
    await writer.flush();
    assert.deepEqual(
      sent.slice(1).flatMap(({ ids }) => ids),
      ['first', ...ids.slice(3)],
    );
  });

  it('adds up by counter what it cannot send, and loses nothing that counts until a date', async () => {
    const { added, writer, setAway, clock } = open();
    setAway(true);
    const add = (...charges: StoreCharge[]) => writer.push(['add', '', charges], false);
    for (let i = 0; i < 30_000; i++) {
      add(['budget', 'calendar', 9e15, 2], [`tokens ${i % 3}`, 'calendar', 9e15, 1], ['minute', 'sliding', 60_000, 1]);
      if (i % 1_000 === 999) await writer.flush();
      clock.ms += 1;
    }
    const again = clock.ms;
    setAway(false);
    added.clear();
    assert.equal(await writer.flush(), true);
    assert.deepEqual(Object.fromEntries(Array.from(added, ([key, { amount }]) => [key, amount])), {
      budget: 60_000,
      'tokens 0': 10_000,
      'tokens 1': 10_000,
      'tokens 2': 10_000,
      minute: 30_000,
    });
    assert.ok((added.get('minute')?.sends ?? 0) >= 29, 'by the second in which it was used');
    assert.equal(writer.dropped, 0);
    assert.equal(clock.ms, again);
  });

  it('keeps settlements and dated sums longer than what slides', async () => {
    const { added, sent, writer, push, setAway, clock } = open();
    setAway(true);
    push('settled');
    for (let i = 0; i < 15_000; i++) {
      writer.push(
        [
          'add',
          '',
          [
            [`${i}`, 'sliding', 1_000, 1],
            ['budget', 'calendar', 9e15, 1],
          ],
        ],
        false,
      );
      clock.ms += 1;
    }
    assert.equal(writer.dropped, 4_001);
    setAway(false);
    assert.equal(await writer.flush(), true);
    assert.equal(sent[0]?.ids[0], 'settled');
    assert.deepEqual([added.get('budget')?.amount, added.get('14999')?.amount], [15_000, 1]);
  });

  it('hands over what was added and the store cannot have counted, with its age', async () => {
    const { writer, sent, clock, setAway } = open(new StoreUnavailable('refused', { mayHaveRun: false }));
    const { heard, heir } = listen();
    const add = (amount: number) => writer.push(['add', '', [['budget', 'calendar', 9e15, amount]]], false);
    setAway(true);
    add(1);
    writer.push(['settle', 'a', []], false);
    await writer.flush();
    clock.ms += 1_000;
    writer.push(['release', 'b', []], false);
    for (let i = 0; i < 1_500; i++) add(2);
    clock.ms += 500;
    writer.handOver(heir);
    assert.deepEqual(heard[0], [1, 1_500]);
    assert.deepEqual(
      heard.slice(1).map(([, ageMs]) => ageMs),
      heard.slice(1).map(() => 500),
    );
    assert.equal(
      heard.reduce((sum, [amount]) => sum + amount, 0),
      3_001,
    );
    setAway(false);
    assert.equal(await writer.flush(), true);
    assert.deepEqual(
      sent.map(({ ids }) => ids),
      [['', 'a'], ['a'], ['b']],
    );
    assert.equal(writer.dropped, 0);
  });

  it('keeps what the store may have counted, and sends it again', async () => {
    const { writer, added, push, setAway } = open();
    const { heard, heir } = listen();
    setAway(true);
    writer.push(['add', '', [['budget', 'calendar', 9e15, 7]]], false);
    const sending = writer.flush();
    writer.handOver(heir);
    await sending;
    push('a');
    writer.handOver(heir);
    assert.deepEqual(heard, []);
    setAway(false);
    added.clear();
    assert.equal(await writer.flush(), true);
    assert.equal(added.get('budget')?.amount, 7);
  });

  it('hands over a batch under way once the store has refused it', async () => {
    const { writer, setAway } = open(new StoreUnavailable('refused', { mayHaveRun: false }));
    const { heard, heir } = listen();
    setAway(true);
    writer.push(['add', '', [['budget', 'calendar', 9e15, 7]]], false);
    const sending = writer.flush();
    writer.handOver(heir);
    assert.deepEqual(heard, []);
    await sending;
    assert.deepEqual(heard, [[7, 0]]);
    assert.equal(await writer.flush(), true);
  });

  it('counts as dropped what is left when it is closed, and what comes then', async () => {
    const { writer, push, setAway } = open();
    setAway(true);
    push('a', 'b');
    await writer.flush();
    push('c');
    for (let i = 0; i < 1_100; i++) writer.push(['add', '', [['budget', 'calendar', 9e15, 1]]], false);
    writer.close();
    // Two settlements under way, one that waits, 999 amounts, and their sum beyond.
    assert.equal(writer.dropped, 2 + 1 + 999 + 1);
    push('d');
    writer.close();
    assert.equal(writer.dropped, 1_004);
  });

  it('sends nothing once it is closed', async () => {
    mock.timers.enable({ apis: ['setTimeout'] });
    try {
      const { sent, writer, push } = open();
      push('a');
      writer.close();
      push('b');
      mock.timers.tick(1_000);
      await turn();
      assert.deepEqual(sent, []);
    } finally {
      mock.timers.reset();
    }
  });
});

/** Everything that is due has happened. */
function turn(): Promise<void> {
  return new Promise(resolve => setImmediate(() => setImmediate(resolve)));
}
