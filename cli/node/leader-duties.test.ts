import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ApiConnection } from '../../operator/api/api-connection.ts';
import { Publisher } from '../../operator/publish/publisher.ts';
import { LeaderDuties } from './leader-duties.ts';

/** Terms of serving agents, as they begin and end. */
function duties() {
  const said: string[] = [];
  let terms = 0;
  const leader = new LeaderDuties({
    // An API server that never answers.
    api: { get: () => new Promise(() => {}), send: () => new Promise(() => {}) } as unknown as ApiConnection,
    publisher: new Publisher(),
    namespaces: undefined,
    listen: async signal => {
      const term = ++terms;
      said.push(`begins ${term}`);
      const closed = new Promise<void>(resolve => {
        signal.addEventListener('abort', () => {
          said.push(`ends ${term}`);
          resolve();
        });
      });
      return { address: 'here', closed };
    },
    onEvent: () => {},
    onListening: () => {},
    onFailure: error => assert.fail(error),
  });
  return { leader, said };
}

/** Until everything queued has run. */
const settled = () => new Promise(resolve => setImmediate(resolve));

test('agents are served from the election to the next leader, doubts in between included', async () => {
  const { leader, said } = duties();
  leader.follow('leading');
  await settled();
  leader.follow('suspended');
  leader.follow('leading');
  await settled();
  assert.deepEqual(said, ['begins 1']);
  leader.follow('standby');
  leader.follow('leading');
  await settled();
  assert.deepEqual(said, ['begins 1', 'ends 1', 'begins 2'], 'one after the other: they share a port');
  await leader.end();
});

test('after the end nothing begins, whatever is elected', async () => {
  const { leader, said } = duties();
  leader.follow('leading');
  await settled();
  await leader.end();
  leader.follow('leading');
  await settled();
  assert.deepEqual(said, ['begins 1', 'ends 1']);
});
