import type { Pricing } from '../../proto/gen/fairlead/v1/table_pb.js';

/** What one request used of what has a price. Whole numbers, 0 or more. */
export interface Used {
  /** Cached ones included. */
  readonly prompt: number;
  readonly cachedPrompt: number;
  readonly completion: number;
  readonly images: number;
  readonly audioSeconds: number;
}

/** 10^-12 of a currency in one 10^-9. */
const PICO_PER_NANO = 1_000;
const NANO_DIGITS = 9;
/** Decimals that amounts of money have at least where people read them. */
const SHOWN_DECIMALS = 2;
const MAX_NANO = BigInt(Number.MAX_SAFE_INTEGER);

/**
 * What one request costs, in 10^-9 of the currency ("nano"): counted to the last 10^-12 and rounded up once, at the
 * end. At most 2^53 − 1, which is nine million of the currency and above any budget.
 */
export function priceOf(pricing: Pricing, used: Used): number {
  const pico = picoAsNumber(pricing, used);
  if (pico !== undefined) return Math.ceil(pico / PICO_PER_NANO);
  const nano = divideUp(picoAsBigInt(pricing, used), BigInt(PICO_PER_NANO));
  return Number(nano < MAX_NANO ? nano : MAX_NANO);
}

/**
 * Undefined where a part or the sum may be 2^53 or more. Whatever of it is below is exact: rounding never takes a
 * number from above 2^53 to below. A quotient of integers below 2^53 is rounded to at most its own next integer, so
 * that rounding it up is exact too.
 */
function picoAsNumber(pricing: Pricing, used: Used): number | undefined {
  const promptPrice = Number(pricing.promptToken);
  const audio = Number(pricing.audioMinute) * used.audioSeconds;
  const pico =
    promptPrice * (used.prompt - used.cachedPrompt) +
    Number(pricing.cachedPromptToken ?? pricing.promptToken) * used.cachedPrompt +
    Number(pricing.completionToken) * used.completion +
    Number(pricing.request) +
    Number(pricing.image) * used.images +
    Math.ceil(audio / 60);
  return Math.max(pico, audio) <= Number.MAX_SAFE_INTEGER ? pico : undefined;
}

function picoAsBigInt(pricing: Pricing, used: Used): bigint {
  return (
    pricing.promptToken * BigInt(used.prompt - used.cachedPrompt) +
    (pricing.cachedPromptToken ?? pricing.promptToken) * BigInt(used.cachedPrompt) +
    pricing.completionToken * BigInt(used.completion) +
    pricing.request +
    pricing.image * BigInt(used.images) +
    divideUp(pricing.audioMinute * BigInt(used.audioSeconds), 60n)
  );
}

function divideUp(amount: bigint, divisor: bigint): bigint {
  return (amount + divisor - 1n) / divisor;
}

/** An amount as people write it, every digit of it: 1_500_000_000 nano are "1.50", one is "0.000000001". */
export function moneyText(nano: number): string {
  const digits = String(Math.abs(nano)).padStart(NANO_DIGITS + 1, '0');
  const decimals = digits.slice(-NANO_DIGITS).replace(/0+$/, '').padEnd(SHOWN_DECIMALS, '0');
  return `${nano < 0 ? '-' : ''}${digits.slice(0, -NANO_DIGITS)}.${decimals}`;
}
