/** The strategies that a resource or a `routing-strategy` header can name. */
export const STRATEGY_NAMES = ['random', 'shuffle', 'round-robin', 'least-request', 'throughput'] as const;

export type StrategyName = (typeof STRATEGY_NAMES)[number];

const BY_SPELLING: ReadonlyMap<string, StrategyName> = new Map(
  STRATEGY_NAMES.flatMap(name => [
    [name, name],
    [name.replaceAll('-', '_'), name],
  ]),
);

/** The strategy of that name, in any case, with `-` or `_`; undefined when there is none. */
export function parseStrategy(name: string): StrategyName | undefined {
  return BY_SPELLING.get(name.trim().toLowerCase());
}
