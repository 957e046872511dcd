import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { freePorts } from '../../test/e2e/harness/free-ports.ts';
import { ValkeyServer } from '../../test/store/valkey-server.ts';
import { StoreUnavailable, type ValkeyAddress, ValkeyConnection } from './valkey-connection.ts';

function connect(t: TestContext, address: ValkeyAddress): ValkeyConnection {
  const connection = new ValkeyConnection(address);
  t.after(() => connection.close());
  return connection;
}

/** One that changes nothing. */
const renewNothing = (connection: ValkeyConnection) =>
  connection.run('renew', ['fairlead:{limits}:leases'], ['', '1', '[]']);

for (const cluster of [false, true]) {
  const kind = cluster ? 'a cluster' : 'a server';

  test(`what is asked of ${kind} before the first connection waits for it`, async t => {
    const server = await ValkeyServer.start({ cluster });
    t.after(() => server.stop());
    const connection = connect(t, { url: server.url, cluster });
    assert.deepEqual(await Promise.all([renewNothing(connection), renewNothing(connection)]), [1, 1]);
  });

  test(`it waits no longer than until the first connection to ${kind} has failed`, async t => {
    const [port] = await freePorts(1);
    const connection = connect(t, { url: `valkey://127.0.0.1:${port}`, cluster });
    await assert.rejects(renewNothing(connection), StoreUnavailable);
  });

  test(`nor than until the connection to ${kind} is closed`, async t => {
    const server = await ValkeyServer.start({ cluster });
    t.after(() => server.stop());
    const connection = connect(t, { url: server.url, cluster });
    const asked = assert.rejects(renewNothing(connection), StoreUnavailable);
    connection.close();
    await asked;
  });
}
