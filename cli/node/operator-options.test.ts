import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isLocal, type OperatorOptions, optionsProblem } from './operator-options.ts';

test('addresses that only this machine reaches are told from all others', () => {
  for (const local of ['unix:/run/x.sock', '127.0.0.1:9000', '127.1.2.3:0', 'localhost:80', '[::1]:9000'])
    assert.equal(isLocal(local), true, local);
  for (const other of ['0.0.0.0:9000', '[::]:9000', '10.0.0.1:80', ':80', '9000', '127.0.0.1.evil.com:80', 'unix:'])
    assert.equal(isLocal(other), false, other);
});

const name = { namespace: 'fairlead', name: 'x' };
const trust = { tlsSecret: name, tlsName: ['x.fairlead.svc'], agentAccount: name };
const everywhere = '0.0.0.0:18000';

const CASES: readonly [string, string | undefined, Partial<OperatorOptions>, RegExp | undefined][] = [
  ['a directory on this machine', 'dir', {}, undefined],
  ['a cluster from this machine', undefined, { namespace: ['ml'] }, undefined],
  ['a pod', undefined, { listen: everywhere, lease: name, pod: name, health: '0.0.0.0:18001', ...trust }, undefined],
  ['a trusted network', undefined, { listen: everywhere, insecure: true }, undefined],
  ['an open port', undefined, { listen: everywhere }, /other machines could read .* --insecure/],
  ['an open port over a directory', 'dir', { listen: everywhere }, /other machines/],
  ['TLS without tokens', undefined, { tlsSecret: name, tlsName: ['x'] }, /belong together/],
  ['tokens without TLS', undefined, { listen: everywhere, agentAccount: name }, /belong together/],
  ['TLS and none', undefined, { ...trust, insecure: true }, /--insecure contradicts/],
  ['a label without an election', undefined, { pod: name }, /--pod is of use with --lease/],
  ['a directory with a lease', 'dir', { lease: name }, /--lease is of a cluster/],
  ['a directory with TLS', 'dir', trust, /--tls-secret is of a cluster/],
];

for (const [what, directory, options, problem] of CASES) {
  test(`options: ${what}`, () => {
    const found = optionsProblem(directory, { listen: 'unix:/x', logLevel: 'info', ...options });
    if (problem === undefined) assert.equal(found, undefined);
    else assert.match(found ?? '', problem);
  });
}
