import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { isRefusal } from '../../errors/refusal.ts';
import { readMultipartBody } from '../request/multipart-body.ts';
import { audioLength } from './audio-length.ts';

interface Wav {
  readonly format?: number;
  readonly sampleRate?: number;
  readonly byteRate?: number;
  readonly seconds?: number;
}

/** 16 bit, one channel, with a chunk of notes before the sound. */
function wav({ format = 1, sampleRate = 8_000, byteRate = sampleRate * 2, seconds = 3 }: Wav = {}): Buffer {
  const bytes = Buffer.alloc(12 + 8 + 16 + 8 + 4 + 8 + seconds * sampleRate * 2);
  bytes.write('RIFF\0\0\0\0WAVEfmt ', 'latin1');
  bytes.writeUInt32LE(16, 16);
  bytes.writeUInt16LE(format, 20);
  bytes.writeUInt16LE(1, 22);
  bytes.writeUInt32LE(sampleRate, 24);
  bytes.writeUInt32LE(byteRate, 28);
  bytes.writeUInt16LE(16, 34);
  bytes.write('note', 36, 'latin1');
  bytes.writeUInt32LE(3, 40);
  bytes.write('data', 48, 'latin1');
  bytes.writeUInt32LE(0xffffffff, 52);
  return bytes;
}

function lengthOf(...files: Buffer[]) {
  const head = Buffer.from('--XX\r\ncontent-disposition: form-data; name="file"; filename="a"\r\n\r\n');
  const body = Buffer.concat([...files.flatMap(file => [head, file, Buffer.from('\r\n')]), Buffer.from('--XX--')]);
  const facts = readMultipartBody(body, 'multipart/form-data; boundary=XX');
  assert.ok(!isRefusal(facts));
  return audioLength(body, facts);
}

describe('the length of audio', () => {
  it('is read from the header of a WAV file, whatever size that claims', () => {
    assert.deepEqual(lengthOf(wav()), { seconds: 3, estimated: false });
  });

  const guessed: [what: string, file: Buffer][] = [
    ['other formats', Buffer.alloc(48_000)],
    ['compressed sound', wav({ format: 0x55 })],
    ['a header that contradicts itself', wav({ byteRate: 6_000_000 })],
    ['a header that claims too much', wav({ sampleRate: 4_000_000, seconds: 0 })],
    ['nothing', Buffer.alloc(0)],
    ['a header without sound', wav().subarray(0, 48)],
  ];
  for (const [what, file] of guessed) {
    it(`is guessed of ${what}`, () => {
      assert.deepEqual(lengthOf(file), { seconds: Math.ceil(file.length / 16_000), estimated: true });
    });
  }

  it('is guessed where nobody knows which of two files is meant', () => {
    assert.deepEqual(lengthOf(wav(), wav()), { seconds: 7, estimated: true });
  });

  it('is found in no cut of a file by reading beyond it', () => {
    const whole = wav();
    for (let end = 0; end < 80; end++) assert.ok(lengthOf(whole.subarray(0, end)).seconds <= 1);
  });
});
