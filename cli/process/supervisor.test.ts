import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { type ChildEvent, Supervisor } from './supervisor.ts';

/** Waits until an event arrives for which `matches` holds. */
function collector(): {
  events: ChildEvent[];
  push: (event: ChildEvent) => void;
  until: (count: number, kind: string) => Promise<void>;
} {
  const events: ChildEvent[] = [];
  const waiters: { count: number; kind: string; resolve: () => void }[] = [];
  const reached = (count: number, kind: string) => events.filter(event => event.kind === kind).length >= count;
  return {
    events,
    push: event => {
      events.push(event);
      for (const waiter of waiters) if (reached(waiter.count, waiter.kind)) waiter.resolve();
    },
    until: (count, kind) =>
      new Promise(resolve => {
        if (reached(count, kind)) resolve();
        else waiters.push({ count, kind, resolve });
      }),
  };
}

test('a child that ends is started again, more slowly each time', async () => {
  const seen = collector();
  const supervisor = new Supervisor(
    { name: 'brief', command: process.execPath, args: ['-e', 'process.exit(3)'], onLine: () => undefined },
    seen.push,
  );
  await seen.until(3, 'ended');
  await supervisor.stop(1_000);
  const ends = seen.events.filter(event => event.kind === 'ended');
  assert.deepEqual(
    ends.slice(0, 3).map(event => [event.why, event.restartInMs]),
    [
      ['exit code 3', 100],
      ['exit code 3', 200],
      ['exit code 3', 400],
    ],
  );
});

test('a child that ends by itself leaves its last words, unterminated too', async () => {
  const seen = collector();
  const program = 'process.stdout.write("begun\\n"); process.stderr.write("fairlead: no room"); process.exitCode = 1';
  const supervisor = new Supervisor(
    { name: 'telling', command: process.execPath, args: ['-e', program], onLine: () => undefined },
    seen.push,
  );
  await seen.until(1, 'ended');
  await supervisor.stop(1_000);
  const [end] = seen.events.filter(event => event.kind === 'ended');
  assert.deepEqual(end?.lastLines.toSorted(), ['begun', 'fairlead: no room']);
});

test('a program that does not exist is reported, not thrown', async () => {
  const seen = collector();
  const supervisor = new Supervisor(
    { name: 'absent', command: '/nonexistent/program', args: [], onLine: () => undefined },
    seen.push,
  );
  await seen.until(1, 'ended');
  await supervisor.stop(1_000);
});

test('stop ends a child that ignores SIGTERM, and does not start it again', async () => {
  const seen = collector();
  const lines: string[] = [];
  let ready = () => {};
  const isReady = new Promise<void>(resolve => {
    ready = resolve;
  });
  const stubborn = 'process.on("SIGTERM", () => {}); console.log("up"); setInterval(() => {}, 1000)';
  const supervisor = new Supervisor(
    {
      name: 'stubborn',
      command: process.execPath,
      args: ['-e', stubborn],
      onLine: line => {
        lines.push(line);
        ready();
      },
    },
    seen.push,
  );
  await isReady;
  await supervisor.stop(50);
  assert.deepEqual(lines, ['up']);
  assert.deepEqual(
    seen.events.map(event => event.kind),
    ['started'],
  );
});

test('a child dies with its supervisor, even when that is killed hard', {
  skip: process.platform !== 'linux',
}, async () => {
  const program = `
    import { Supervisor } from ${JSON.stringify(new URL('./supervisor.ts', import.meta.url).href)};
    new Supervisor({ name: 'x', command: process.execPath, args: ['-e', 'setInterval(() => {}, 1000)'], onLine() {} },
      event => { if (event.kind === 'started') console.log(event.pid); });`;
  const parent = spawn(process.execPath, ['--input-type=module-typescript', '-e', program], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [chunk] = await once(parent.stdout, 'data');
  const childPid = Number(String(chunk));
  assert.ok(childPid > 0);
  parent.kill('SIGKILL');
  await once(parent, 'close');
  while (isRunning(childPid)) await delay(5);
});

/** Whether the process exists and has not ended; one that nobody has reaped yet (state Z) has ended. */
function isRunning(pid: number): boolean {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}
