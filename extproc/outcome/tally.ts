import type { SettlementKind, TallySnapshot } from '../../telemetry/snapshot.ts';
import type { Tokens } from './estimate.ts';
import { Histogram } from './histogram.ts';

/** Upper bounds of pick times, seconds; the budget is 10 µs among 1,000 endpoints. */
const PICK_BOUNDS_SECONDS = [5e-6, 1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2];

/** Cannot be in a model's id or a backend's name, which have no control characters. */
const SEPARATOR = '\0';

/** How long the counts of a model that is gone can still be scraped; then they are dropped, and memory is bounded. */
const KEEP_GONE_MS = 600_000;

/** What the data thread counts: plain numbers here, Prometheus text elsewhere. */
export class Tally {
  /** Models that have counts, and when each was last seen to be served; undefined until it is looked at. */
  readonly #servedMs = new Map<string, number | undefined>();
  /** By model, backend and code. */
  readonly #requests = new Map<string, number>();
  readonly #promptTokens = new Map<string, number>();
  readonly #completionTokens = new Map<string, number>();
  readonly #inFlight = new Map<string, number>();
  readonly #settlements = new Map<SettlementKind, number>();
  readonly #pickSeconds = new Histogram(PICK_BOUNDS_SECONDS);

  request(model: string, backend: string, code: string): void {
    this.#know(model);
    add(this.#requests, model + SEPARATOR + backend + SEPARATOR + code, 1);
  }

  tokens(model: string, { prompt, completion }: Omit<Tokens, 'cachedPrompt'>): void {
    add(this.#promptTokens, model, prompt);
    add(this.#completionTokens, model, completion);
  }

  /** One more (1) or one fewer (−1) on its way. A model that once had a request stays listed, with 0, while it is served. */
  inFlight(model: string, change: 1 | -1): void {
    this.#know(model);
    add(this.#inFlight, model, change);
  }

  picked(ms: number): void {
    this.#pickSeconds.observe(ms / 1_000);
  }

  settled(kind: SettlementKind): void {
    add(this.#settlements, kind, 1);
  }

  /** Drops what belongs to models that have not been served for ten minutes and have nothing on its way. */
  forgetGone(isServed: (model: string) => boolean, nowMs: number): void {
    for (const [model, servedMs = nowMs] of this.#servedMs) {
      const needed = model === '' || isServed(model) || (this.#inFlight.get(model) ?? 0) > 0;
      this.#servedMs.set(model, needed ? nowMs : servedMs);
      if (nowMs - servedMs >= KEEP_GONE_MS && !needed) this.#drop(model);
    }
  }

  snapshot(): TallySnapshot {
    return {
      requests: [...this.#requests].map(([key, count]) => {
        const [model = '', backend = '', code = ''] = key.split(SEPARATOR);
        return { model, backend, code, count };
      }),
      tokens: [
        ...[...this.#promptTokens].map(([model, count]) => ({ model, kind: 'prompt' as const, count })),
        ...[...this.#completionTokens].map(([model, count]) => ({ model, kind: 'completion' as const, count })),
      ],
      inFlight: [...this.#inFlight].map(([model, count]) => ({ model, count })),
      pickSeconds: this.#pickSeconds.snapshot(),
      settlements: [...this.#settlements].map(([kind, count]) => ({ kind, count })),
    };
  }

  #know(model: string): void {
    if (!this.#servedMs.has(model)) this.#servedMs.set(model, undefined);
  }

  #drop(model: string): void {
    for (const counts of [this.#servedMs, this.#promptTokens, this.#completionTokens, this.#inFlight]) {
      counts.delete(model);
    }
    for (const key of this.#requests.keys()) if (key.startsWith(model + SEPARATOR)) this.#requests.delete(key);
  }
}

function add<Key>(counts: Map<Key, number>, key: Key, change: number): void {
  counts.set(key, (counts.get(key) ?? 0) + change);
}
