import type { EndpointLoad } from '../endpoint-load/endpoint-load.ts';
import { LeastRequestStrategy } from './least-request.ts';
import type { Random } from './random.ts';
import { RandomStrategy } from './random-strategy.ts';
import { RoundRobinStrategy } from './round-robin.ts';
import { ShuffleStrategy } from './shuffle.ts';
import type { Strategy } from './strategy.ts';
import type { StrategyName } from './strategy-name.ts';
import { ThroughputStrategy } from './throughput.ts';

/** One of each. What they remember is kept by model, so every model can share them. */
export function strategies(load: EndpointLoad, random: Random): Readonly<Record<StrategyName, Strategy>> {
  return {
    random: new RandomStrategy(random),
    shuffle: new ShuffleStrategy(random),
    'round-robin': new RoundRobinStrategy(random),
    'least-request': new LeastRequestStrategy(load, random),
    throughput: new ThroughputStrategy(load, random),
  };
}
