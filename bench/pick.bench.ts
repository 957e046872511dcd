import { EndpointLoad } from '../extproc/endpoint-load/endpoint-load.ts';
import { ModelIndex } from '../extproc/models/model-index.ts';
import { Picker } from '../extproc/pick/picker.ts';
import { mulberry32 } from '../extproc/pick/random.ts';
import { oneModel } from '../extproc/pick/sample-model.fixture.ts';
import { STRATEGY_NAMES, type StrategyName } from '../extproc/pick/strategy-name.ts';

/**
 * Microseconds for one pick and its reservation, release and settlement, by strategy and fleet. The goal is 10 at 1,000
 * endpoints. Three candidates each; two capacities; every endpoint has requests in flight and one in ten is ejected.
 */
const fleets = [10, 100, 1_000];
const rounds = 20_000;
const facts = { promptTokens: 500, outputTokens: 200 };

function measure(strategy: StrategyName, endpoints: number): number {
  const load = new EndpointLoad();
  const index = new ModelIndex(load);
  index.apply(
    oneModel([
      { name: 'fast', capacity: 2, endpoints: endpoints / 2 },
      { name: 'slow', endpoints: endpoints / 2 },
    ]),
  );
  const entry = index.resolve('model');
  if (entry === undefined) throw new Error('the model is not there');
  const random = mulberry32(1);
  const picker = new Picker(load, random);
  for (const { slot } of load.rows(0)) {
    load.reserve(slot, 1_000 * random(), 0);
    for (let failed = 0; slot % 10 === 0 && failed < 3; failed++) load.attemptFailed(slot, 'connect', 0);
  }
  const once = (nowMs: number): void => {
    const slot = picker.pick(entry, strategy, facts, nowMs)?.slots[0];
    if (slot === undefined) throw new Error('nothing was picked');
    const reservation = load.reserve(slot, 700, nowMs);
    load.release(reservation);
    load.settle(reservation, 650, nowMs);
  };
  for (let round = 0; round < rounds / 4; round++) once(1_000);
  const startedMs = performance.now();
  for (let round = 0; round < rounds; round++) once(1_000 + round / 100);
  return ((performance.now() - startedMs) / rounds) * 1_000;
}

console.log(`µs per pick${fleets.map(fleet => `${fleet} endpoints`.padStart(16)).join('')}`);
for (const strategy of STRATEGY_NAMES) {
  const cells = fleets.map(fleet => measure(strategy, fleet).toFixed(2).padStart(16));
  console.log(strategy.padEnd(11) + cells.join(''));
}
