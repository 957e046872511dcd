import assert from 'node:assert/strict';
import { test } from 'node:test';
import { routeProfile } from '../table/route-profile.ts';
import { routeConfiguration } from './routes.ts';
import { SAMPLE_TIMEOUTS, sampleTable } from './sample-table.fixture.ts';

const quick = { ...SAMPLE_TIMEOUTS, requestMs: 1_000, headersMs: 500 };
const table = sampleTable({
  'ml/a': { backends: {} },
  'ml/b': { backends: {} },
  'ml/c': { timeouts: quick, retryAttempts: 0, backends: {} },
});

function routes() {
  return routeConfiguration(table.gateway, table.models.values(), false).virtualHosts?.[0]?.routes ?? [];
}

/** The route that a request would take: Envoy's own rule, the first that matches. */
function routeOf(path: string, profile?: string) {
  return routes().find(({ match }) => {
    const fits = match?.path === undefined ? path.startsWith(match?.prefix ?? '') : match.path === path;
    return fits && (match?.headers ?? []).every(header => header.stringMatch?.exact === profile);
  });
}

test('models with the same timeouts share a route', () => {
  const profiles = new Set([...table.models.values()].map(routeProfile));
  assert.equal(profiles.size, 2);
  // livez, three for each profile, and the last
  assert.equal(routes().length, 1 + 3 * profiles.size + 1);
});

test('the header decides about the timeouts, before there is one the last route holds', () => {
  const profile = routeProfile(table.models.get('ml/c') ?? assert.fail());
  assert.equal(routeOf('/v1/chat/completions', profile)?.route?.timeout, '1.000s');
  assert.equal(routeOf('/v1/chat/completions')?.name, 'undecided');
  assert.equal(routeOf('/v1/chat/completions', 'r1-h1-i1-a1')?.name, 'undecided');
});

test('only legacy completions and embeddings are told to the usage reader', () => {
  const profile = routeProfile(table.models.get('ml/a') ?? assert.fail());
  const told = (path: string) => routeOf(path, profile)?.typedPerFilterConfig !== undefined;
  assert.deepEqual(
    ['/v1/completions', '/v1/embeddings', '/v1/chat/completions', '/v1/messages', '/v1/responses'].map(told),
    [true, true, false, false, false],
  );
});

test('no route retries of itself, nor to a host that was tried', () => {
  for (const { name, route, directResponse } of routes()) {
    if (directResponse) continue;
    assert.equal(route?.clusterHeader, 'x-fairlead-cluster', name);
    assert.equal(route.retryPolicy?.numRetries, 0, name);
    assert.equal(route.retryPolicy.retryHostPredicate?.length, 1, name);
  }
});

test('/livez alone needs neither extproc nor its mark', () => {
  const free = routes().filter(({ typedPerFilterConfig }) => typedPerFilterConfig?.admitted);
  assert.deepEqual(
    free.map(({ match }) => match),
    [{ path: '/livez' }],
  );
});
