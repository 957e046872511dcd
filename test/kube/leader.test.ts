import assert from 'node:assert/strict';
import { after, before, suite, type TestContext, test } from 'node:test';
import { Election, type ElectionEvent } from '../../operator/leader/election.ts';
import { LEADER_LABEL, LeaderLabel } from '../../operator/leader/leader-label.ts';
import { until } from '../e2e/harness/until.ts';
import { ApiObjects, apiOf } from './api-objects.ts';
import { Cluster } from './cluster.ts';
import { TcpProxy } from './tcp-proxy.ts';

/** Nothing here takes this long; it only ends a test that would hang, milliseconds. */
const timeout = 90_000;
/** As short as a busy machine allows, on which an answer can take seconds. */
const TIMING = { leaseMs: 10_000, renewDeadlineMs: 8_000, renewMs: 400, standbyMs: 200 };
const NAMESPACE = 'fairlead';

suite('leader election on a real API server', { timeout: 6 * timeout }, () => {
  let cluster: Cluster;
  let objects: ApiObjects;

  before(async () => {
    cluster = await Cluster.start();
    objects = new ApiObjects(cluster);
    await objects.prepare(NAMESPACE);
  });

  after(() => cluster?.stop());

  /** Candidates for a lease of the test's own, each with a connection of its own, and what they told in its order. */
  function contest(t: TestContext, lease: string) {
    const told: string[] = [];
    const candidate = async (name: string) => {
      const proxy = await TcpProxy.start(Number(new URL(cluster.server).port));
      const abort = new AbortController();
      const events: ElectionEvent[] = [];
      const election = new Election({
        api: apiOf(cluster, `https://127.0.0.1:${proxy.port}`),
        lease: { namespace: NAMESPACE, name: lease },
        identity: name,
        signal: abort.signal,
        onState: state => told.push(`${name} ${state}`),
        onEvent: event => events.push(event),
        timing: TIMING,
      });
      const stop = async () => {
        abort.abort();
        await election.ended;
      };
      t.after(async () => {
        proxy.thaw();
        await stop();
        proxy.stop();
      });
      const knows = (state: string) => until(`${name} is ${state}: ${told}`, () => election.state === state);
      const holder = () => events.findLast(event => event.event === 'leader.changed')?.holder;
      const sees = (expected: string) => until(`${name} sees ${expected}`, () => holder() === expected);
      const failed = () => events.some(({ event }) => event === 'leader.lease_failed');
      return { name, election, proxy, stop, knows, sees, failed };
    };
    const kubectl = (...args: readonly string[]) => cluster.kubectl([...args, '-n', NAMESPACE]);
    const spec = async () =>
      JSON.parse(await kubectl('get', 'lease', lease, '-o', 'json')).spec as Readonly<Record<string, unknown>>;
    const edit = (patch: object) => kubectl('patch', 'lease', lease, '--type=merge', '-p', JSON.stringify(patch));
    return { told, candidate, kubectl, spec, edit };
  }

  test('one leads; cut off, it knows so before the other leads, and follows that one once it is back', {
    timeout,
  }, async t => {
    const { told, candidate, spec } = contest(t, 'cut');
    const first = await candidate('a');
    await first.knows('leading');
    const second = await candidate('b');
    await second.sees('a');
    first.proxy.freeze();
    await second.knows('leading');
    assert.deepEqual(told, ['a leading', 'a suspended', 'b leading']);
    assert.equal(first.election.state, 'suspended');
    const { holderIdentity, leaseTransitions, leaseDurationSeconds } = await spec();
    assert.deepEqual([holderIdentity, leaseTransitions, leaseDurationSeconds], ['b', 1, 10]);
    first.proxy.thaw();
    await first.knows('standby');
    assert.equal(second.election.state, 'leading');
  });

  test('given up, it goes to the other', { timeout }, async t => {
    const { told, candidate, spec } = contest(t, 'release');
    const first = await candidate('a');
    await first.knows('leading');
    const second = await candidate('b');
    await second.sees('a');
    await first.stop();
    await second.sees('b');
    assert.deepEqual(told, ['a leading', 'a standby', 'b leading']);
    await second.stop();
    const { holderIdentity, leaseTransitions } = await spec();
    assert.deepEqual([holderIdentity ?? '', leaseTransitions], ['', 1]);
  });

  test('with the API server away nobody takes over; one leads when it is back', { timeout }, async t => {
    const { told, candidate } = contest(t, 'away');
    const [first, second] = [await candidate('a'), await candidate('b')];
    const leading = () => [first, second].filter(({ election }) => election.state === 'leading');
    const [leader] = await until('a leader', () => leading().length > 0 && leading());
    const other = leader === first ? second : first;
    await other.sees(leader?.name ?? '');
    await cluster.stopApiServer();
    await leader?.knows('suspended');
    await until('the other to miss the API server', () => other.failed());
    await cluster.startApiServer();
    await until(`a leader: ${told}`, () => leading().length > 0);
    await until('the other to know', () => [first, second].some(({ election }) => election.state === 'standby'));
    assert.equal(leading().length, 1);
  });

  test('people edit the lease, give it away, delete it: one leads again', { timeout }, async t => {
    const { told, candidate, edit, spec, kubectl } = contest(t, 'edited');
    const only = await candidate('a');
    await only.knows('leading');

    await kubectl('annotate', 'lease', 'edited', 'note=kept');
    await edit({ spec: { leaseTransitions: 2_147_483_647, leaseDurationSeconds: 99_999, acquireTime: null } });
    await until('a renewal', async () => (await spec()).leaseDurationSeconds === 10);
    assert.deepEqual(told, ['a leading']);
    assert.equal((await spec()).leaseTransitions, 2_147_483_647);

    await edit({ spec: { holderIdentity: 'nobody', renewTime: null, leaseDurationSeconds: null } });
    await until('the loss', () => told.includes('a standby'));
    await only.knows('leading');
    assert.equal(await kubectl('get', 'lease', 'edited', '-o', 'jsonpath={.metadata.annotations.note}'), 'kept');

    await kubectl('delete', 'lease', 'edited');
    await until('a new lease', () =>
      spec().then(
        ({ holderIdentity }) => holderIdentity === 'a',
        () => false,
      ),
    );
    assert.deepEqual(told, ['a leading', 'a standby', 'a leading']);

    await edit({ spec: null });
    await until('a holder', async () => (await spec()).holderIdentity === 'a');
    await only.knows('leading');
  });

  /** Pods as the chart makes them, and a label that follows a leader. */
  async function labelled(t: TestContext, instance: string, ...names: readonly string[]) {
    const labels = { 'app.kubernetes.io/component': 'operator', 'app.kubernetes.io/instance': instance };
    for (const name of names) await objects.createPod(NAMESPACE, name, { ...labels, [LEADER_LABEL]: 'true' });
    const events: string[] = [];
    const abort = new AbortController();
    t.after(() => abort.abort());
    const label = (name: string) =>
      new LeaderLabel({
        api: apiOf(cluster),
        pod: { namespace: NAMESPACE, name },
        signal: abort.signal,
        onEvent: ({ event }) => events.push(event),
      });
    const carry = async (...expected: readonly string[]) => {
      const selector = `${LEADER_LABEL}=true,app.kubernetes.io/instance=${instance}`;
      const list = ['get', 'pods', '-n', NAMESPACE, '-l', selector, '-o', 'jsonpath={.items[*].metadata.name}'];
      await until(`${expected} to carry the label`, async () => (await cluster.kubectl(list)) === expected.join(' '));
    };
    return { label, carry, events };
  }

  test('the label is where the leader is, and nowhere else in the installation', { timeout }, async t => {
    const other = await labelled(t, 'other', 'other-a');
    const { label, carry } = await labelled(t, 'one', 'one-a', 'one-b', 'one-c');
    await carry('one-a', 'one-b', 'one-c');
    const [a, b] = [label('one-a'), label('one-b')];
    // What containers of before left.
    await carry('one-c');
    a.follow('leading');
    await carry('one-a');
    // As if it was killed: the new leader takes it away.
    b.follow('leading');
    await carry('one-b');
    b.follow('suspended');
    b.follow('standby');
    await carry();
    await other.carry('other-a');
  });

  test('a label that cannot be set is, once it can', { timeout }, async t => {
    const { label, carry, events } = await labelled(t, 'late', 'late-a');
    const late = label('late-b');
    late.follow('leading');
    await until('a failure', () => events.includes('leader.label_failed'));
    await carry('late-a');
    await labelled(t, 'late', 'late-b');
    await carry('late-b');
    assert.ok(events.includes('leader.labelled'));
  });
});
