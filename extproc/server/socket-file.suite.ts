import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import type { ServeOptions, Transport } from './transport.ts';

/** What every transport does with the file of its socket. */
export function socketFileSuite(name: string, serve: (options: ServeOptions) => Promise<Transport>): void {
  describe(`transport ${name}, its socket file`, () => {
    let folder = '';
    let path = '';
    const start = (): Promise<Transport> =>
      serve({
        path,
        maxMessageBytes: 1_000,
        openExchange: () => ({ message: () => {}, closed: () => {} }),
        accessLog: { entries: () => {} },
      });

    before(() => {
      folder = mkdtempSync(join(tmpdir(), 'fairlead-transport-'));
    });
    after(() => rmSync(folder, { recursive: true, force: true }));

    it('replaces the socket of a process that is gone', async () => {
      path = join(folder, 'deeper', 'stale.sock');
      const first = await start();
      await first.drain();
      const listenAndDie = `require('node:net').createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, 'SIGKILL'))`;
      spawnSync(process.execPath, ['-e', listenAndDie]);
      assert.ok(statSync(path).isSocket());
      const transport = await start();
      await connectOnce(path);
      await transport.drain();
    });

    it('leaves a socket that is in use alone', async () => {
      path = join(folder, 'used.sock');
      const other = createServer().listen(path);
      await once(other, 'listening');
      await assert.rejects(start(), /another process is listening/);
      await connectOnce(path);
      other.close();
    });

    it('leaves a file that is no socket alone', async () => {
      path = join(folder, 'precious.txt');
      writeFileSync(path, 'precious');
      await assert.rejects(start(), /not a socket/);
      assert.equal(statSync(path).size, 8);
    });
  });
}

async function connectOnce(path: string): Promise<void> {
  const socket = connect(path);
  await once(socket, 'connect');
  socket.destroy();
}
