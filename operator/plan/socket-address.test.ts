import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { socketAddress } from './socket-address.ts';

test('an address has one spelling, that of Envoy', () => {
  const cases: [ip: string, address: string][] = [
    ['10.0.0.7', '10.0.0.7:80'],
    ['::1', '[::1]:80'],
    ['0:0:0:0:0:0:0:1', '[::1]:80'],
    ['0000:0000:0000:0000:0000:0000:0000:0001', '[::1]:80'],
    ['FD00:0::00A7', '[fd00::a7]:80'],
    ['1:0:0:2:0:0:0:3', '[1:0:0:2::3]:80'],
    ['1:0:2:3:4:5:6:7', '[1:0:2:3:4:5:6:7]:80'],
    ['64:ff9b::10.0.0.7', '[64:ff9b::a00:7]:80'],
    ['::ffff:10.0.0.7', '10.0.0.7:80'],
    ['::FFFF:0a00:0007', '10.0.0.7:80'],
    ['0:0:0:0:0:ffff:a00:7', '10.0.0.7:80'],
    ['::ffff:0:10.0.0.7', '[::ffff:0:a00:7]:80'],
  ];
  for (const [ip, address] of cases) assert.equal(socketAddress(ip, 80), address, ip);
});

test('all spellings of an IPv6 address come out the same, and that one as it is', () => {
  const groups = fc.array(fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 0xffff })), {
    minLength: 8,
    maxLength: 8,
  });
  fc.assert(
    fc.property(groups, groups => {
      const short = groups.map(group => group.toString(16)).join(':');
      const long = groups.map(group => group.toString(16).padStart(4, '0').toUpperCase()).join(':');
      const address = socketAddress(short, 80);
      assert.equal(socketAddress(long, 80), address);
      assert.equal(socketAddress(address.replace(/^\[?(.*?)\]?:80$/, '$1'), 80), address);
    }),
  );
});
