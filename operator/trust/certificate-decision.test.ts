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
    assert.match(decide({ ours: false }, 91), /^everything: tls.crt holds from/);
    const nothing = { authorities: '', authorityKey: '', certificate: '', key: '' };
    assert.equal(decide({ ...nothing, ours: false }), 'everything: the Secret is empty');
  });

  test('authorities are told of until they end', () => {
    const joined = joinAuthorities(other.certificate, `junk\n${authority.certificate}`, NOW_MS);
    assert.equal(joined, other.certificate + authority.certificate);
    assert.equal(joinAuthorities(other.certificate, joined, NOW_MS), joined, 'once each');
    const later = NOW_MS + authorityLifetimeMs;
    assert.equal(joinAuthorities(other.certificate, authority.certificate, later), other.certificate);
  });
});
