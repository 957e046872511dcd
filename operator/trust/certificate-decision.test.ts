import assert from 'node:assert/strict';
import { before, suite, test } from 'node:test';
import {
  type CertificateMaterial,
  decideCertificate,
  joinAuthorities,
  readCertificates,
} from './certificate-decision.ts';
import { authorityLifetimeMs, type IssuedCertificate, issueAuthority, issueServerCertificate } from './issue.ts';

const DAY_MS = 86_400_000;
const NOW_MS = Date.parse('2030-01-01T00:00:00Z');
const NAMES = ['control-plane.fairlead.svc'];

suite('what becomes of a certificate', () => {
  let authority: IssuedCertificate;
  let server: IssuedCertificate;
  let other: IssuedCertificate;

  before(async () => {
    authority = await issueAuthority(NOW_MS);
    server = await issueServerCertificate(authority, NAMES, NOW_MS);
    other = await issueAuthority(NOW_MS);
  });

  const material = (change: Partial<CertificateMaterial> = {}): CertificateMaterial => ({
    authorities: authority.certificate,
    authorityKey: authority.key,
    certificate: server.certificate,
    key: server.key,
    ours: true,
    ...change,
  });

  const decide = (change: Partial<CertificateMaterial> = {}, days = 0, spread = 0, names = NAMES) => {
    const decision = decideCertificate(material(change), names, NOW_MS + days * DAY_MS, spread);
    return decision.kind === 'keep' ? 'keep' : `${decision.kind}: ${decision.reason}`;
  };

  test('ours is kept until two thirds of its life, a little longer by some replicas', () => {
    assert.equal(decide(), 'keep');
    assert.equal(decide({}, 59), 'keep');
    assert.equal(decide({}, 61), 'certificate: tls.crt is due for renewal');
    assert.equal(decide({}, 61, 1), 'keep');
    assert.equal(decide({}, 65, 1), 'certificate: tls.crt is due for renewal');
  });

  test('a machine whose clock is an hour behind can use it', () => {
    assert.equal(decide({}, -0.9 / 24), 'keep');
    assert.match(decide({}, -2), /^everything: tls.crt holds from .*; ca.crt holds until/);
  });

  test('a name that is wanted and lacking', () => {
    assert.equal(decide({}, 0, 0, [...NAMES, 'cp.example']), 'certificate: tls.crt is not for cp.example');
  });

  test('an authority is made known long before it signs: the server certificate is renewed first', async () => {
    const days = 500;
    const atMs = NOW_MS + days * DAY_MS;
    const renewed = await issueServerCertificate(authority, NAMES, atMs);
    assert.match(decide({}, days), /^certificate: tls.crt holds/);
    const fresh = { certificate: renewed.certificate, key: renewed.key };
    assert.equal(decide(fresh, days), 'authority: the authority is due for renewal');
    const next = await issueAuthority(atMs);
    const authorities = joinAuthorities(next.certificate, authority.certificate, atMs);
    const changed = { ...fresh, authorities, authorityKey: next.key };
    assert.equal(decide(changed, days), 'keep', 'the old certificate holds by the old authority');
    assert.equal(decide(changed, days + 61), 'certificate: tls.crt is due for renewal');
  });

  test('a server certificate does not outlive its authority', async () => {
    const late = await issueServerCertificate(authority, NAMES, NOW_MS + authorityLifetimeMs - DAY_MS);
    const [certificate] = readCertificates(late.certificate);
    assert.equal(certificate?.validToDate.getTime(), NOW_MS + authorityLifetimeMs);
  });

  test('garbage, and what does not belong together', () => {
    assert.equal(decide({ certificate: 'x' }), 'certificate: tls.crt holds no certificate');
    assert.equal(decide({ key: 'x' }), 'certificate: tls.key holds no private key');
    assert.equal(decide({ key: other.key }), 'certificate: tls.key is not the key of tls.crt');
    assert.equal(decide({ authorityKey: 'x' }), 'authority: ca.key holds no private key');
    assert.equal(decide({ authorityKey: other.key }), 'authority: ca.key is not the key of ca.crt');
    assert.equal(
      decide({ authorities: other.certificate, authorityKey: other.key }),
      'certificate: tls.crt is by none of the authorities in ca.crt',
    );
    assert.equal(
      decide({ authorities: 'x' }),
      'everything: tls.crt is by none of the authorities in ca.crt; ca.crt holds no certificate',
    );
  });

  test("somebody else's is used as long as it holds, and never renewed", () => {
    assert.equal(decide({ ours: false }, 89), 'keep');
    assert.equal(decide({ ours: false, authorities: '', authorityKey: '' }), 'keep');
    const lacking = decideCertificate(material({ ours: false }), ['cp.example'], NOW_MS, 0);
    assert.deepEqual(lacking, { kind: 'keep', lacking: ['cp.example'] });
    assert.match(decide({ ours: false }, 91), /^unusable: tls.crt holds from/);
    const nothing = { authorities: '', authorityKey: '', certificate: '', key: '' };
    assert.equal(decide({ ...nothing, ours: false }), 'everything: the Secret is empty');
  });

  test('what TLS will not serve', () => {
    const weak = { authorities: '', authorityKey: '', certificate: WEAK_CERTIFICATE, key: WEAK_KEY };
    assert.match(decide({ ...weak, ours: false }), /^unusable: tls.crt cannot be served: .*key too small/);
    const block = '-----BEGIN CERTIFICATE-----\nabc\n-----END CERTIFICATE-----\n';
    const certificate = server.certificate + block;
    assert.match(decide({ certificate, ours: false }), /^unusable: tls.crt cannot be served/);
    assert.match(decide({ certificate }), /^certificate: tls.crt cannot be served/);
  });

  test('authorities are told of until they end', () => {
    const joined = joinAuthorities(other.certificate, `junk\n${authority.certificate}`, NOW_MS);
    assert.equal(joined, other.certificate + authority.certificate);
    assert.equal(joinAuthorities(other.certificate, joined, NOW_MS), joined, 'once each');
    const later = NOW_MS + authorityLifetimeMs;
    assert.equal(joinAuthorities(other.certificate, authority.certificate, later), other.certificate);
  });
});

/** RSA of 1,024 bits, for a hundred years, for this test only. */
const WEAK_CERTIFICATE = `-----BEGIN CERTIFICATE-----
MIICBDCCAW2gAwIBAgIUHCyQZHI3jROHSiRpfqC42HGRc1cwDQYJKoZIhvcNAQEL
BQAwDDEKMAgGA1UEAwwBeDAgFw0yNjExMjExNDI2MjFaGA8yMTI2MTAyODE0MjYy
MVowDDEKMAgGA1UEAwwBeDCBnzANBgkqhkiG9w0BAQEFAAOBjQAwgYkCgYEAsERP
mLBwlbrJrdB6Cl2ZgjBOW5DGu1LLJmqulf7yizZTyazwXd0xUoy6QZHYSoWZFZ0g
1ZGw+p9X0c/y4CtuoaQtgpbqUynduzSOyW/yUjXudVOkkAL+IzjTKcYajzmQ9g5J
E9iIVnPpA7CTQ6Ete84pGcmZcYKIzlkkHJ+q6kcCAwEAAaNhMF8wHQYDVR0OBBYE
FEeq2MFBG+S2aYSFwc5rCs2mPg7dMB8GA1UdIwQYMBaAFEeq2MFBG+S2aYSFwc5r
Cs2mPg7dMA8GA1UdEwEB/wQFMAMBAf8wDAYDVR0RBAUwA4IBeDANBgkqhkiG9w0B
AQsFAAOBgQBvSM7JOui7I8WddJ2tCq9hG+A7KEzt/56/kVH51Uy1ZBBZxehN444f
J4bifV2YsYmDzd/3zoBLRpzEn9rEkqgQyVKWFAhHoxJtuJ8Pgfrzh68gF0iT41LP
In5ksQk4miYQJ90mQm2iBEOazXKVMlTkkMIPo5ggohBMJxxm8bKB7w==
-----END CERTIFICATE-----`;
const WEAK_KEY = `-----BEGIN PRIVATE KEY-----
MIICdwIBADANBgkqhkiG9w0BAQEFAASCAmEwggJdAgEAAoGBALBET5iwcJW6ya3Q
egpdmYIwTluQxrtSyyZqrpX+8os2U8ms8F3dMVKMukGR2EqFmRWdINWRsPqfV9HP
8uArbqGkLYKW6lMp3bs0jslv8lI17nVTpJAC/iM40ynGGo85kPYOSRPYiFZz6QOw
k0OhLXvOKRnJmXGCiM5ZJByfqupHAgMBAAECgYA8Z7yLS/PZLADPYwFfqgHgXqOL
t4qTSWU7DhY0awE9eemu1GgvEo1Dh9yQeeWQbEYw5P8KkXn/+TlEOqo17kxj4NbC
VVI8G6iDgaYz/0n7TbfHP+eOAO+J/6iYK6Ci/FGaj8TBsTjGI/GHdnIJuUHa5sJh
JyDoQKXJm4vJ9+CooQJBANnENPAVZXuUCUPdBQ9g/P5+bjOGV/1tR5x8T/NRPmgJ
4tgdmALIc73igaxFJta2MNhXNnse/sEnxe4UhradudECQQDPNtn0m+WINap71BHB
oGgJ+rEJLMxys2VtpOA6EiJQGg+JemzBQtP2687PIvePUt9lgtQeLpYqEwHE4H4I
wVCXAkEApnPROwo/zdvz0QmqCn1KJIUjWwL/Utkq+bQTsJqTJxcXa7YDMW1i+uud
zr301/3fDB5tqGKiu6XZJwhNiFy7YQJAdMShMAGF6CrtxlfsJaPB3RXDG7t9/ojv
eEj3/mFnqqH07XDqxkFldvjNEtbOkJqPvwFpjRSNlGofjhU/kKl3QwJBAJjrJZNF
GddKgM6503eofIu/ZW8L0jgFdhPtYYdUql0V9IlVOlJYJ4GyMACEQMUBk1ZAhsnq
xwAeznspgs98GdM=
-----END PRIVATE KEY-----`;
