import assert from 'node:assert/strict';
import { PassThrough } from 'node:stream';
import { suite, test } from 'node:test';
import type { WriteStream } from 'node:tty';
import { stripVTControlCharacters } from 'node:util';
import { create } from '@bufbuild/protobuf';
import { plan } from '../../operator/plan/plan.ts';
import { clusterState, modelDeployment, pod } from '../../operator/plan/test-state.fixture.ts';
import type { ConnectedAgent } from '../../operator/publish/publisher.ts';
import { NodeReportSchema } from '../../proto/gen/fairlead/v1/report_pb.js';
import type { PlannedState } from '../node/control-plane.ts';
import { Narrator } from './narrator.ts';
import { Screen } from './screen.ts';

/** A narrator, and what a person saw since the last look, without times. */
function listen(): { narrator: Narrator; seen: () => string } {
  const out = new PassThrough({ encoding: 'utf8' });
  const narrator = new Narrator(new Screen(out as unknown as WriteStream));
  const seen = () => stripVTControlCharacters(String(out.read() ?? '')).replace(/^\d\d:\d\d:\d\d /gm, '');
  return { narrator, seen };
}

function planned(version: string, models: number, unready = 0): PlannedState {
  const names = Array.from({ length: models }, (_, index) => `m-${String(index).padStart(4, '0')}`);
  const pods = names.slice(unready).map((name, index) => pod(`ml/${name}`, name, `10.0.0.${(index % 250) + 1}`));
  const state = clusterState(
    names.map(name => modelDeployment(`ml/${name}`)),
    pods,
  );
  const reading = { state, problems: [], locate: () => ({ line: 1, column: 1 }) };
  return { version, plan: plan(state, { standalone: true }), reading };
}

function agent(rejections: readonly { resource: string; message: string }[]): ConnectedAgent {
  const report = create(NodeReportSchema, { nodeId: 'local', rejections: [...rejections] });
  return { nodeId: 'local', report, refused: [] };
}

suite('what the person at the terminal is told', () => {
  const taken = { resource: 'listener http', message: 'cannot bind' };

  test('a refusal of Envoy once, and when it is over', () => {
    const { narrator, seen } = listen();
    narrator.agents([agent([taken])]);
    assert.equal(seen(), 'Envoy refuses listener http: cannot bind\n');
    narrator.line('envoy', "error config listener 'http': cannot bind", 'stderr');
    narrator.line('extproc', JSON.stringify({ level: 'error', event: 'envoy.refused', ...taken }), 'stderr');
    narrator.agents([agent([taken])]);
    narrator.agents([]);
    narrator.agents([agent([taken])]);
    assert.equal(seen(), '');
    narrator.agents([agent([taken, { resource: 'cluster ml/a', message: 'odd' }])]);
    assert.equal(seen(), 'Envoy refuses cluster ml/a: odd\n');
    narrator.agents([agent([])]);
    assert.equal(seen(), 'Envoy no longer refuses listener http.\nEnvoy no longer refuses cluster ml/a.\n');
  });

  test('the end of a child: why, and what it means', () => {
    const { narrator, seen } = listen();
    const end = { kind: 'ended', why: 'exit code 1', restartInMs: 100 } as const;
    narrator.child('simulator', { ...end, name: 'simulator', lastLines: ['fairlead: 127.0.1.11:8000 is taken'] });
    assert.equal(
      seen(),
      'simulator ended (exit code 1: 127.0.1.11:8000 is taken): no simulated pod answers until it runs again, in 0.1 s.\n',
    );
    narrator.child('extproc', { ...end, name: 'extproc', why: 'killed by SIGKILL', lastLines: [] });
    assert.equal(seen(), 'extproc ended (killed by SIGKILL): new requests get 503 until it runs again, in 0.1 s.\n');
    narrator.child('extproc', { kind: 'started', name: 'extproc', pid: 7 });
    assert.equal(seen(), '', 'before everything is ready, starts are nothing new');
    narrator.ready('dir', 'logs');
    narrator.child('extproc', { kind: 'started', name: 'extproc', pid: 8 });
    assert.equal(seen(), 'extproc runs again (pid 8).\n');
  });

  test('of the simulator what it complains about, not introductions', () => {
    const { narrator, seen } = listen();
    narrator.line('simulator', 'a serves m at http://127.0.0.1:1', 'stdout');
    narrator.line('simulator', 'fairlead: why it ends', 'stderr');
    assert.equal(seen(), '');
    narrator.line('simulator', 'pods.yaml:1: bad', 'stderr');
    assert.equal(seen(), 'simulator: pods.yaml:1: bad\n');
  });

  test('nothing more of children once it stops', () => {
    const { narrator, seen } = listen();
    narrator.stopping();
    assert.match(seen(), /^Stopping: [^\n]+\n$/);
    narrator.line('extproc', JSON.stringify({ level: 'warn', event: 'table.disconnected', reason: 'gone' }), 'stderr');
    assert.equal(seen(), '');
  });

  test('the models at first, of a change the difference only', () => {
    const { narrator, seen } = listen();
    narrator.planned(planned('1-a', 2));
    assert.equal(seen(), '');
    narrator.ready('dir', 'logs');
    assert.match(seen(), /m-0000 .*1\/1.*\n.*m-0001 .*1\/1/);
    narrator.planned(planned('1-a', 2));
    assert.equal(seen(), '');
    narrator.planned(planned('2-b', 3, 1));
    assert.match(seen(), /^Table 2-b\n {2}~ m-0000 {2}1\/1 → 0\/0\n(.*\n)* {2}\+ m-0002 {2}1\/1\n$/);
  });

  test('thousands of models are counted', () => {
    const { narrator, seen } = listen();
    narrator.planned(planned('1-a', 5_000));
    narrator.ready('dir', 'logs');
    const banner = seen();
    assert.equal(banner.match(/m-\d{4} .*1\/1/g)?.length, 20);
    assert.match(banner, /… and 4,980 more: fairlead models\n/);
    narrator.planned(planned('2-b', 0));
    assert.match(seen(), /^Table 2-b\n( {2}− m-\d{4}\n){20}… and 4,980 more: fairlead models\n$/);
  });

  test('a gateway that nobody may call, and why, without an example that would fail', () => {
    const { narrator, seen } = listen();
    const { reading } = planned('1-a', 1);
    const origin = { kind: 'file', file: 'gateway.yaml', line: 1, column: 1 } as const;
    const state = { ...reading.state, closed: { why: 'refused', key: 'default/g', origin } as const };
    narrator.planned({ version: '1-a', plan: plan(state, { standalone: true }), reading: { ...reading, state } });
    assert.match(
      seen(),
      /^gateway\.yaml:1:1: warning: nobody may call until the InferenceGateway default\/g can be read/,
    );
    narrator.ready('dir', 'logs');
    const banner = seen();
    assert.match(banner, /\(nobody may call: see above\)/);
    assert.doesNotMatch(banner, /curl|no key needed/);
  });

  test('a terminal that has gone away is nobody to tell', () => {
    const out = new PassThrough();
    const screen = new Screen(out as unknown as WriteStream);
    out.destroy(Object.assign(new Error('write EPIPE'), { code: 'EPIPE' }));
    screen.event('to nobody');
  });
});
