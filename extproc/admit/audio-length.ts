import type { BodyFacts } from '../request/body-facts.ts';

/** What compressed speech takes, 128 kbit/s: MP3 as most programs write it. */
const BYTES_PER_SECOND = 16_000;
/** Beyond, no file is read for its header. */
const MAX_CHUNKS = 16;
const RIFF_HEADER_BYTES = 12;
const CHUNK_HEADER_BYTES = 8;
const FORMAT_BYTES = 16;
/** WAVE_FORMAT_PCM, WAVE_FORMAT_IEEE_FLOAT and WAVE_FORMAT_EXTENSIBLE, which is one of the two in nearly all files. */
const UNCOMPRESSED: ReadonlySet<number> = new Set([1, 3, 0xfffe]);
/** No recorder is faster: who claims more wants to pay less. 192 kHz, 8 channels, 32 bit. */
const MAX_BYTE_RATE = 6_144_000;

/** How long an upload of audio lasts. */
interface AudioLength {
  /** Whole seconds, rounded up. */
  readonly seconds: number;
  /** Guessed from its size: only the header of a WAV file tells. */
  readonly estimated: boolean;
}

/**
 * How long the audio in an uploaded form lasts: exactly for WAV, else as long as its size has speech.
 *
 * @param facts what reading this same body gave
 */
export function audioLength(body: Uint8Array, { file }: BodyFacts): AudioLength {
  const bytes = Buffer.from(body.buffer, body.byteOffset, body.byteLength);
  const content = file === undefined ? bytes : bytes.subarray(file.start, file.end);
  const seconds = file === undefined ? undefined : wavSeconds(content);
  return seconds === undefined
    ? { seconds: Math.ceil(content.length / BYTES_PER_SECOND), estimated: true }
    : { seconds: Math.ceil(seconds), estimated: false };
}

/** http://soundfile.sapp.org/doc/WaveFormat: chunks of a name and a size; "fmt " tells the bytes of a second. */
function wavSeconds(bytes: Buffer): number | undefined {
  if (text(bytes, 0) !== 'RIFF' || text(bytes, 8) !== 'WAVE') return undefined;
  let at = RIFF_HEADER_BYTES;
  let byteRate: number | undefined;
  for (let chunks = 0; chunks < MAX_CHUNKS && at + CHUNK_HEADER_BYTES <= bytes.length; chunks++) {
    const size = bytes.readUInt32LE(at + 4);
    const start = at + CHUNK_HEADER_BYTES;
    // All the rest, whatever the size: who streams a recording cannot know it, and what engines read on is not ours.
    if (text(bytes, at) === 'data') return byteRate && (bytes.length - start) / byteRate;
    if (text(bytes, at) === 'fmt ' && start + FORMAT_BYTES <= bytes.length) byteRate = soundByteRate(bytes, start);
    at = start + size + (size % 2);
  }
  return undefined;
}

/** Undefined where the sound is compressed, or the header contradicts itself. */
function soundByteRate(bytes: Buffer, format: number): number | undefined {
  if (!UNCOMPRESSED.has(bytes.readUInt16LE(format))) return undefined;
  const channels = bytes.readUInt16LE(format + 2);
  const sampleRate = bytes.readUInt32LE(format + 4);
  const byteRate = bytes.readUInt32LE(format + 8);
  const sampleBits = bytes.readUInt16LE(format + 14);
  const isSound = byteRate > 0 && byteRate <= MAX_BYTE_RATE && byteRate === (sampleRate * channels * sampleBits) / 8;
  return isSound ? byteRate : undefined;
}

function text(bytes: Buffer, at: number): string {
  return bytes.toString('latin1', at, at + 4);
}
