import { hash } from 'node:crypto';
import { crc32 } from 'node:zlib';

/** Longest credential that is looked up, UTF-8 bytes: keys of other gateways, which can be imported, are shorter too. */
export const MAX_API_KEY_BYTES = 512;

const PREFIX = 'fl-';
const SECRET_BYTES = 32;
/** As many digits as 256 bits need: 62^43 > 2^256. */
const SECRET_DIGITS = 43;
/** As many digits as 32 bits need: 62^6 > 2^32. */
const CHECKSUM_DIGITS = 6;
const ALPHABET = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';
const FORM = new RegExp(`^${PREFIX}[0-9A-Za-z]{${SECRET_DIGITS + CHECKSUM_DIGITS}}$`);

/**
 * A new API key: `fl-`, 256 bits in base 62 and a CRC32 of these digits in base 62, as GitHub's tokens have one
 * (https://github.blog/engineering/platform-security/behind-githubs-new-authentication-token-formats/). The checksum
 * protects nothing: by it a typing error is told from a key that was withdrawn.
 *
 * @param random 32 bytes that nobody can guess
 */
export function newApiKey(random: Uint8Array): string {
  if (random.length !== SECRET_BYTES) throw new RangeError(`an API key is made of ${SECRET_BYTES} random bytes`);
  const secret = base62(BigInt(`0x${Buffer.from(random).toString('hex')}`), SECRET_DIGITS);
  return PREFIX + secret + checksum(secret);
}

/**
 * What a key that nobody has looks like: one of ours (withdrawn, or another gateway's), one of ours with a typing
 * error, or none of ours.
 */
export function checkApiKey(text: string): 'ours' | 'mistyped' | 'foreign' {
  // The error can be in the prefix.
  const digits = text.slice(-(SECRET_DIGITS + CHECKSUM_DIGITS));
  const whole = checksum(digits.slice(0, SECRET_DIGITS)) === digits.slice(SECRET_DIGITS);
  if (whole && FORM.test(text)) return 'ours';
  return whole || text.startsWith(PREFIX) ? 'mistyped' : 'foreign';
}

/** SHA-256 of the text's UTF-8 in hex: all that is kept of a key. */
export function digestOf(text: string): string {
  return hash('sha256', text);
}

function checksum(digits: string): string {
  return base62(BigInt(crc32(digits)), CHECKSUM_DIGITS);
}

function base62(value: bigint, digits: number): string {
  let text = '';
  for (let rest = value; text.length < digits; rest /= 62n) text = ALPHABET.charAt(Number(rest % 62n)) + text;
  return text;
}
