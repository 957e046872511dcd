import assert from 'node:assert/strict';
import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { freePorts } from '../test/e2e/harness/free-ports.ts';
import { until } from '../test/e2e/harness/until.ts';
import { runSim, runSimPod } from './sim.ts';

describe('fairlead sim', () => {
  let directory: string;
  let port = 0;
  before(async () => {
    directory = await mkdtemp(join(tmpdir(), 'sim-'));
    [port = 0] = await freePorts(1);
    await writeFile(join(directory, 'pods.yaml'), JSON.stringify(pod('one', '127.0.9.10')));
    await writeFile(join(directory, 'empty.yaml'), 'kind: Service\n');
  });
  after(() => rm(directory, { recursive: true }));

  const silent = { log: () => {}, complain: (line: string) => assert.fail(line) };
  const pod = (name: string, address: string, model = 'acme/m') => ({
    kind: 'Pod',
    metadata: { name, annotations: { 'sim.fairlead.dev/model': model } },
    spec: { containers: [{ ports: [{ containerPort: port }] }] },
    status: { podIP: address },
  });
  const served = async (address: string): Promise<string | undefined> => {
    const answer = await fetch(`http://${address}:${port}/v1/models`).catch(() => undefined);
    const body = (await answer?.json()) as { data: { id: string }[] } | undefined;
    return body?.data[0]?.id;
  };

  test('serves the pods until told to stop, and says where', async () => {
    const stop = new AbortController();
    const lines: string[] = [];
    const said = Promise.withResolvers<void>();
    const log = (line: string) => {
      lines.push(line);
      if (lines.length === 2) said.resolve();
    };
    const ended = runSim(directory, { ...silent, signal: stop.signal, log, control: '127.0.0.1:0' });
    await Promise.race([said.promise, ended]);
    const url = `http://127.0.9.10:${port}`;
    assert.equal(lines[0], `one serves acme/m at ${url}`);
    assert.equal((await fetch(`${url}/health`)).status, 200);
    const control = /http:\S+/.exec(lines[1] ?? '')?.[0] ?? '';
    const fault = { pod: 'one', fault: { kind: 'status', status: 500 } };
    assert.equal((await fetch(control, { method: 'POST', body: JSON.stringify(fault) })).status, 200);
    await assert.rejects(
      runSim(directory, { ...silent, signal: stop.signal }),
      new RegExp(`127.0.9.10:${port} is taken`),
      'a second one says who is in its way',
    );
    stop.abort();
    await ended;
    await assert.rejects(fetch(`${url}/health`));
  });

  test('follows changes: pods come, go and change, the others go on', async () => {
    const stop = new AbortController();
    const complaints: string[] = [];
    const live = await mkdtemp(join(tmpdir(), 'sim-'));
    const file = join(live, 'pods.yaml');
    // At once, since half a file would be followed too.
    const replace = async (text: string) => {
      const next = join(directory, 'next');
      await writeFile(next, text);
      await rename(next, file);
    };
    const write = (...pods: readonly object[]) => replace(pods.map(each => JSON.stringify(each)).join('\n---\n'));
    await write();
    const ended = runSim(live, { ...silent, signal: stop.signal, complain: line => complaints.push(line) });
    try {
      const [one, two, three] = ['127.0.9.21', '127.0.9.22', '127.0.9.23'] as const;
      await write(pod('one', one), pod('two', two));
      await until('both', async () => (await served(one)) && (await served(two)));
      // A request that is running tells whether a pod goes on.
      const running = fetch(`http://${one}:${port}/v1/completions`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ prompt: 'x', max_tokens: 20, stream: true }),
      }).then(response => response.text());
      await write(pod('one', one), pod('two', two, 'acme/other'), pod('three', three));
      await until('the third', async () => (await served(three)) === 'acme/m');
      await until('the second changed', async () => (await served(two)) === 'acme/other');
      await replace('kind: [');
      await until('a complaint', () => complaints.length === 1);
      assert.match(complaints[0] ?? '', /pods\.yaml/);
      assert.equal(await served(three), 'acme/m', 'a file that breaks ends nothing');
      await write(pod('one', one), pod('three', three), pod('clash', three));
      await until('another complaint', () => complaints.length === 2);
      assert.match(complaints[1] ?? '', new RegExp(`${three}:${port} is taken`));
      await until('the second gone', async () => (await served(two)) === undefined);
      assert.match(await running, /\[DONE\]\s*$/);
    } finally {
      stop.abort();
      await ended;
      await rm(live, { recursive: true });
    }
    assert.equal(await served('127.0.9.21'), undefined);
  });

  test('a path without pods is said to be so, and followed', async () => {
    const stop = new AbortController();
    const said = Promise.withResolvers<string>();
    const ended = runSim(join(directory, 'empty.yaml'), { ...silent, signal: stop.signal, log: said.resolve });
    assert.match(await said.promise, /empty\.yaml declares no Pod with the annotation/);
    stop.abort();
    await ended;
  });

  test('one pod by the command line finishes what it has begun when it is told to stop', async () => {
    const stop = new AbortController();
    const said = Promise.withResolvers<string>();
    const listen = { host: '127.0.9.30', port };
    const ended = runSimPod({ models: ['acme/m', 'm'], listen, signal: stop.signal, log: said.resolve });
    const url = `http://127.0.9.30:${port}`;
    assert.equal(await Promise.race([said.promise, ended]), `${hostname()} serves acme/m, m at ${url}`);
    const answer = await fetch(`${url}/v1/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ model: 'm', prompt: 'x', max_tokens: 20, stream: true }),
    });
    stop.abort();
    await assert.rejects(fetch(`${url}/health`));
    assert.match(await answer.text(), /\[DONE\]\s*$/);
    await ended;
  });

  test('a path that does not exist is an error', async () => {
    const { signal } = new AbortController();
    await assert.rejects(runSim(join(directory, 'nosuch'), { ...silent, signal }), /ENOENT/);
  });
});
