import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isLocal } from './operator.ts';

test('addresses that only this machine reaches are told from all others', () => {
  for (const local of ['unix:/run/x.sock', '127.0.0.1:9000', '127.1.2.3:0', 'localhost:80', '[::1]:9000'])
    assert.equal(isLocal(local), true, local);
  for (const other of ['0.0.0.0:9000', '[::]:9000', '10.0.0.1:80', ':80', '9000', '127.0.0.1.evil.com:80', 'unix:'])
    assert.equal(isLocal(other), false, other);
});
