// How long a request's body holds up the event loop: our scanner against parsing the whole, in one run.
// Run: node bench/request.bench.ts

import { isRefusal } from '../errors/refusal.ts';
import { INFERENCE_ENDPOINTS } from '../extproc/request/endpoints.ts';
import { readJsonBody } from '../extproc/request/json-body.ts';
import { readMultipartBody } from '../extproc/request/multipart-body.ts';
import { nameModel } from '../extproc/request/name-model.ts';
import { parseTarget } from '../extproc/request/target.ts';
import { Validation } from '../proto/gen/fairlead/v1/table_pb.js';

const CHAT = INFERENCE_ENDPOINTS[0]!;
const rounds = 5;
const roundMs = 60;
const sizes = [1_000, 10_000, 100_000, 200_000];
const FORM_TYPE = 'multipart/form-data; boundary=----bench';

const SENTENCE = 'The quick brown fox jumps over the lazy dog, again and again. ';

function repeated(text: string, length: number): string {
  return text.repeat(Math.ceil(length / text.length)).slice(0, length);
}

/** Bodies of about `bytes` with their model at the end, where the OpenAI SDKs may put it: nothing can be skipped. */
const BODIES: Record<string, (bytes: number) => unknown> = {
  prose: bytes => ({ messages: [{ role: 'user', content: repeated(SENTENCE, bytes) }], stream: true, model: 'm' }),
  'dense quotes': bytes => ({
    messages: Array.from({ length: bytes / 36 }, (_, i) => ({ role: 'user', content: `w ${i}` })),
    model: 'm',
  }),
  'escaped quotes': bytes => ({
    messages: [{ role: 'tool', content: repeated('"city":"Paris",', (bytes * 15) / 19) }],
    model: 'm',
  }),
  'token ids': bytes => ({ prompt: Array.from({ length: bytes / 6 }, (_, i) => 10_000 + i), model: 'm' }),
};

/** Microseconds a call, the best of some rounds: what else the machine does only ever adds. */
function microseconds(call: () => unknown): number {
  let best = Number.POSITIVE_INFINITY;
  for (let round = 0; round < rounds; round++) {
    const start = performance.now();
    let calls = 0;
    let elapsedMs = 0;
    for (; elapsedMs < roundMs; elapsedMs = performance.now() - start) {
      for (let i = 0; i < 10; i++) call();
      calls += 10;
    }
    best = Math.min(best, (elapsedMs * 1_000) / calls);
  }
  return best;
}

function line(what: string, bytes: number, ...columns: string[]): void {
  console.log([what.padEnd(16), String(bytes).padStart(8), ...columns.map(text => text.padStart(12))].join(' '));
}

console.log('microseconds a body                read        parse  parse÷read       rename');
for (const [what, make] of Object.entries(BODIES)) {
  for (const size of sizes) {
    const body = Buffer.from(JSON.stringify(make(size)));
    const facts = readJsonBody(body, Validation.BASIC, CHAT);
    if (isRefusal(facts)) throw new Error(facts.message);
    const read = microseconds(() => readJsonBody(body, Validation.BASIC, CHAT));
    const parse = microseconds(() => JSON.parse(body.toString()));
    const rename = microseconds(() => nameModel(body, facts, 'another/model'));
    line(what, body.length, read.toFixed(2), parse.toFixed(2), (parse / read).toFixed(1), rename.toFixed(2));
  }
}

const form = Buffer.from(
  `------bench\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n${repeated(SENTENCE, 1_000_000)}` +
    '\r\n------bench\r\nContent-Disposition: form-data; name="model"\r\n\r\nwhisper\r\n------bench--\r\n',
);
line('multipart', form.length, microseconds(() => readMultipartBody(form, FORM_TYPE)).toFixed(2));

const paths = {
  'exact path': '/v1/chat/completions',
  'path with model': '/v1/chat/meta-llama%2FLlama-3.1-8B?version=1',
};
for (const [what, path] of Object.entries(paths)) {
  line(what, path.length, microseconds(() => parseTarget('POST', path, 'application/json')).toFixed(2));
}
