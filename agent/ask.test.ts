import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { MessageChannel, type MessagePort } from 'node:worker_threads';
import { type DataThread, dataThread, NoAnswer } from './ask.ts';
import type { ToAgent, ToDataThread } from './messages.ts';

/** A data thread that answers as `answer` says, and not at all where that is nothing. */
function connected(
  t: TestContext,
  answer: (question: ToDataThread, port: MessagePort) => ToAgent | undefined,
  timeoutMs?: number,
): DataThread {
  const { port1, port2 } = new MessageChannel();
  t.after(() => port1.close());
  port2.on('message', (question: ToDataThread) => {
    const message = answer(question, port2);
    if (message !== undefined) port2.postMessage(message);
  });
  return dataThread(port1, timeoutMs);
}

const explanation = (id: string) => ({ key: `ns/${id}`, id, strategy: 'random', endpoints: [] });

test('answers are matched with their questions, in whatever order they come', async t => {
  const late: ToAgent[] = [];
  const data = connected(t, (question, port) => {
    if (question.kind !== 'explain?') return undefined;
    const { request, model } = question;
    late.push({ kind: 'explain', request, answer: explanation(model) });
    if (late.length === 2) for (const message of late.toReversed()) port.postMessage(message);
    return undefined;
  });
  const answers = await Promise.all([data.explain('a'), data.explain('b')]);
  assert.deepEqual(
    answers.map(answer => answer?.id),
    ['a', 'b'],
  );
});

test('a question that is not answered in time is an error; a late answer to it is nobody else’s', async t => {
  const unanswered: number[] = [];
  const data = connected(
    t,
    (question, port) => {
      if (question.kind !== 'explain?') return undefined;
      const { request, model } = question;
      if (model === 'silent') {
        unanswered.push(request);
        return undefined;
      }
      for (const old of unanswered) port.postMessage({ kind: 'explain', request: old, answer: explanation('late') });
      return { kind: 'explain', request, answer: explanation(model) };
    },
    20,
  );
  await assert.rejects(data.explain('silent'), NoAnswer);
  assert.equal((await data.explain('b'))?.id, 'b');
});

test('a failure there is one here, of a table too', async t => {
  const data = connected(t, ({ request }) => ({ kind: 'failed', request, message: 'it broke' }));
  await assert.rejects(data.snapshot(), /it broke/);
  await assert.rejects(data.apply({ version: '1' } as Parameters<DataThread['apply']>[0]), /it broke/);
});
