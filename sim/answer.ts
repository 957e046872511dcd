import { seededRandom, seedOf } from './random.ts';

/** What a pod answers to one request. */
export interface Answer {
  /** The pod's count of requests, for ids. */
  readonly number: number;
  readonly pod: string;
  /** The served name that the request used. */
  readonly model: string;
  readonly promptTokens: number;
  readonly outputTokens: number;
  /** `length` where the client's limit cut it. */
  readonly finishReason: 'stop' | 'length';
  readonly createdSeconds: number;
  /** Words `from` up to but not including `to`; a token is a word. */
  text(from: number, to: number): string;
}

/** Of the answers' lengths where the client sets none: the middle, and the ends. */
const USUAL_OUTPUT_TOKENS = 64;
const SHORTEST_OUTPUT_TOKENS = 8;
const LONGEST_OUTPUT_TOKENS = 400;

const WORDS = (
  'anchor beacon breeze buoy cabin canvas captain cargo chart cliff coast compass crew current deck delta dock ' +
  'drift ebb ferry fleet foam fog galley gale gull harbour helm horizon hull island jetty keel knot lagoon ' +
  'lantern ledger mast mooring north oar pier pilot port prow quay reef rigging river rope rudder sail salt ' +
  'shoal shore signal sound stern storm strait swell tide voyage wake watch wave wharf wind'
).split(' ');

/** How many tokens the model says to this prompt when nobody limits it: seeded, long answers rarer than short ones. */
export function drawOutputTokens(prompt: string, seed: number): number {
  const random = seededRandom(seedOf(prompt, seed));
  // A normal variate by the sum of twelve uniforms, spread as a log-normal.
  let normal = -6;
  for (let draw = 0; draw < 12; draw++) normal += random();
  const tokens = Math.round(USUAL_OUTPUT_TOKENS * Math.exp(0.7 * normal));
  return Math.min(LONGEST_OUTPUT_TOKENS, Math.max(SHORTEST_OUTPUT_TOKENS, tokens));
}

/** The words of an answer: it says whose it is, then words drawn from the prompt and the seed. */
export function answerText(pod: string, prompt: string, seed: number): (from: number, to: number) => string {
  const random = seededRandom(seedOf(prompt, seed + 1));
  const words = ['Hello', ' from', ` ${pod}:`];
  return (from, to) => {
    while (words.length < to) words.push(` ${WORDS[Math.floor(random() * WORDS.length)]}`);
    return words.slice(from, to).join('');
  };
}
