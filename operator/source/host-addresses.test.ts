import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HostAddresses, type ResolveHost } from './host-addresses.ts';

/** A resolver that answers when it is told to. */
class Answers {
  readonly asked: string[] = [];
  readonly #waiting = new Map<string, PromiseWithResolvers<string>>();

  readonly resolve: ResolveHost = host => {
    this.asked.push(host);
    const answer = Promise.withResolvers<string>();
    this.#waiting.set(host, answer);
    return answer.promise;
  };

  async give(host: string, ip: string | Error): Promise<void> {
    const answer = this.#waiting.get(host);
    if (ip instanceof Error) answer?.reject(ip);
    else answer?.resolve(ip);
    await new Promise(resolve => setImmediate(resolve));
  }
}

function unknownHost(): Error {
  return Object.assign(new Error('getaddrinfo ENOTFOUND'), { code: 'ENOTFOUND' });
}

function started() {
  const answers = new Answers();
  const changes = { count: 0 };
  const hosts = new HostAddresses(answers.resolve, () => changes.count++);
  return { answers, changes, hosts };
}

const PATIENT_MS = 60_000;

test('names are looked up once, together, and following is done when all are', async () => {
  const { answers, hosts, changes } = started();
  const following = hosts.follow(new Set(['a', 'b']), PATIENT_MS);
  assert.deepEqual(answers.asked, ['a', 'b']);
  await answers.give('a', '10.0.0.1');
  await answers.give('b', unknownHost());
  await following;
  assert.deepEqual(Object.fromEntries(hosts.addresses), {
    a: { ip: '10.0.0.1' },
    b: { failure: 'b is not a known host name (ENOTFOUND)' },
  });
  assert.equal(changes.count, 2);
  const { addresses } = hosts;
  await hosts.follow(new Set(['a', 'b']), PATIENT_MS);
  assert.equal(hosts.addresses, addresses);
  assert.equal(answers.asked.length, 2);
});

test('a slow answer is not waited for, and counts when it comes', async () => {
  const { answers, hosts, changes } = started();
  await hosts.follow(new Set(['slow']), 0);
  assert.equal(hosts.addresses.size, 0);
  await answers.give('slow', '10.0.0.1');
  assert.deepEqual(hosts.addresses.get('slow'), { ip: '10.0.0.1' });
  assert.equal(changes.count, 1);
});

test('looked up again, a moved host moves, one that fails keeps its address, and nothing new is no change', async () => {
  const { answers, hosts, changes } = started();
  await hosts.follow(new Set(['a']), 0);
  await answers.give('a', '10.0.0.1');
  const steps: [string | Error, string][] = [
    ['10.0.0.1', '10.0.0.1'],
    [unknownHost(), '10.0.0.1'],
    ['10.0.0.2', '10.0.0.2'],
  ];
  for (const [answer, expected] of steps) {
    hosts.refresh();
    await answers.give('a', answer);
    assert.equal(hosts.addresses.get('a')?.ip, expected);
  }
  assert.equal(changes.count, 2);
});

test('a host that was unknown is there once it resolves', async () => {
  const { answers, hosts } = started();
  await hosts.follow(new Set(['a']), 0);
  await answers.give('a', unknownHost());
  hosts.refresh();
  await answers.give('a', '10.0.0.1');
  assert.deepEqual(hosts.addresses.get('a'), { ip: '10.0.0.1' });
});

test('names that nobody uses any more are forgotten, late answers too', async () => {
  const { answers, hosts } = started();
  await hosts.follow(new Set(['a', 'b']), 0);
  await answers.give('a', '10.0.0.1');
  await hosts.follow(new Set(), PATIENT_MS);
  await answers.give('b', '10.0.0.2');
  assert.equal(hosts.addresses.size, 0);
  hosts.refresh();
  assert.equal(answers.asked.length, 2);
});
