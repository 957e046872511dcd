import { z } from 'zod';
import { expecting } from './wording.ts';

/** Of any currency; with nano units it is still a safe integer, with pico units it fits 64 bits. */
export const MAX_AMOUNT = 9_000_000;
const FRACTION_DIGITS = 6;

const AMOUNT = /^(0|[1-9][0-9]{0,6})([.][0-9]{1,6})?$/;
const FORM = 'an amount as a string such as `"0.10"`, with at most six decimals';

/** Exactly what it says; never a number of YAML, which is rounded to binary before anybody sees it. */
export function money() {
  const form = expecting(FORM, asAmount);
  return z
    .string(form)
    .regex(AMOUNT, form)
    .refine(text => !AMOUNT.test(text) || Number(text) <= MAX_AMOUNT, expecting(`at most ${MAX_AMOUNT}`));
}

/** By its three letters: https://www.iso.org/iso-4217-currency-codes.html */
export function currency() {
  const form = expecting('the three capitals of a currency, such as `EUR`', given => {
    const capitals = typeof given === 'string' ? given.trim().toUpperCase() : '';
    return /^[A-Z]{3}$/.test(capitals) && capitals !== given ? capitals : undefined;
  });
  return z.string(form).regex(/^[A-Z]{3}$/, form);
}

/** 10^-9 of the currency, of an amount that the schema has accepted. */
export function nanoOf(amount: string): bigint {
  return microOf(amount) * 1_000n;
}

/** 10^-12 of the currency, of an amount that the schema has accepted. */
export function picoOf(amount: string): bigint {
  return microOf(amount) * 1_000_000n;
}

/** 10^-12 of the currency for one, of the price of a million that the schema has accepted. */
export function picoOfOne(priceOfMillion: string): bigint {
  return microOf(priceOfMillion);
}

function microOf(amount: string): bigint {
  const [whole = '', fraction = ''] = amount.split('.');
  return BigInt(whole + fraction.padEnd(FRACTION_DIGITS, '0'));
}

/** A number was meant as it is written, a comma as a point, and a sign of a currency has a field of its own. */
function asAmount(given: unknown): string | undefined {
  const text = typeof given === 'number' ? String(given) : typeof given === 'string' ? given : '';
  const bare = text.replace(/^[^0-9.,-]+|[^0-9]+$/g, '').replace(/^[.,]/, '0.');
  const near = /^[0-9]+,[0-9]{1,2}$/.test(bare) ? bare.replace(',', '.') : bare;
  return AMOUNT.test(near) && Number(near) <= MAX_AMOUNT && near !== given ? `"${near}"` : undefined;
}
