import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseHostPort } from './host-port.ts';

test('addresses and host names are taken apart', () => {
  const cases: [string, string, number][] = [
    ['10.0.0.7:8000', '10.0.0.7', 8000],
    ['localhost:1', 'localhost', 1],
    ['gpu-box.internal.:65535', 'gpu-box.internal.', 65_535],
    ['my_service:80', 'my_service', 80],
    ['[fd00::7]:8000', 'fd00::7', 8000],
    ['3d-printer:80', '3d-printer', 80],
  ];
  for (const [text, host, port] of cases) assert.deepEqual(parseHostPort(text), { host, port }, text);
});

test('what is neither is not', () => {
  const wrong = [
    '',
    'a',
    ':80',
    'a:',
    'a:0',
    'a:65536',
    '256.0.0.1:80',
    '1.2.3:80',
    'fd00::7:80',
    '[1.2.3.4]:80',
    '[x]:80',
  ];
  for (const text of [...wrong, 'a b:80', '-a:80', 'a..b:80', 'http://a:80', 'a:80/v1', `${'a'.repeat(64)}:80`]) {
    assert.equal(parseHostPort(text), undefined, text);
  }
});
