/**
 * How long one forward pass takes (shared/design/routing.md 3.2):
 *
 *   step_ms = a + b·B + c·ΣKV/1000 + d·P + e·Σ p(s + p/2)/1e6
 *
 * B sequences in the step, ΣKV context tokens of those that decode, P prompt tokens computed in this step,
 * and for each prompt chunk its length p and the tokens s computed before it.
 */
export interface StepCoefficients {
  /** Milliseconds that every step costs: reading the weights. */
  readonly a: number;
  /** Milliseconds a sequence. */
  readonly b: number;
  /** Milliseconds a thousand context tokens of decoding sequences: reading their KV. */
  readonly c: number;
  /** Milliseconds a prompt token. */
  readonly d: number;
  /** Milliseconds a million pairs of prompt token and token before it: attention. */
  readonly e: number;
}

/** A GPU as the simulation knows it: how fast a step is and how many tokens its KV cache holds. */
export interface GpuProfile extends StepCoefficients {
  readonly kvTokens: number;
}

/**
 * Llama-3.1-8B in bf16 on one GPU: the derived table of routing.md 3.2. The table has no b; 0.05 lies within the
 * measured fits of the same page (0.039–0.066 for vLLM).
 */
export const GPU_PROFILES = {
  h100: { a: 7.15, b: 0.05, c: 0.0602, d: 0.0295, e: 1.2, kvTokens: 439_000 },
  a100: { a: 11.6, b: 0.05, c: 0.0989, d: 0.083, e: 3.4, kvTokens: 439_000 },
  l40s: { a: 25.1, b: 0.05, c: 0.233, d: 0.106, e: 4.3, kvTokens: 181_000 },
  l20: { a: 25.1, b: 0.05, c: 0.233, d: 0.224, e: 9.1, kvTokens: 181_000 },
  a10: { a: 36, b: 0.05, c: 0.336, d: 0.257, e: 10.5, kvTokens: 32_000 },
  l4: { a: 67.2, b: 0.05, c: 0.672, d: 0.324, e: 13.2, kvTokens: 32_000 },
} as const satisfies Record<string, GpuProfile>;

export type GpuName = keyof typeof GPU_PROFILES;

/** What one step computes. */
export interface StepWork {
  /** Sequences in the step. */
  readonly sequences: number;
  /** Context tokens of the decoding ones. */
  readonly decodeContextTokens: number;
  readonly prefillTokens: number;
  /** Σ p(s + p/2) over the prompt chunks. */
  readonly prefillPairs: number;
}

/** Milliseconds that a step with this work takes. */
export function stepMs(coefficients: StepCoefficients, work: StepWork): number {
  const { a, b, c, d, e } = coefficients;
  return (
    a +
    b * work.sequences +
    (c * work.decodeContextTokens) / 1000 +
    d * work.prefillTokens +
    (e * work.prefillPairs) / 1e6
  );
}
