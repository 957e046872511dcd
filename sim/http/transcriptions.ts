import { type ApiError, badRequest } from './api-error.ts';
import type { Work } from './work.ts';

/** Whisper's decoder starts from four special tokens; what the encoder does with the sound takes no time here. */
const PROMPT_TOKENS = 4;
/** 16 kHz, 16 bits, one channel: how long an upload counts as, whatever it really holds. */
const BYTES_PER_SECOND = 32_000;
/** A short sentence. */
const OUTPUT_TOKENS = 12;

/** POST /v1/audio/transcriptions and /v1/audio/translations: multipart with a `file`. */
export async function readTranscription(body: Buffer, contentType: string | undefined): Promise<Work | ApiError> {
  let form: FormData;
  try {
    // The multipart reader that Node ships, so that a damaged body is refused by somebody else's understanding of it.
    const response = new Response(new Uint8Array(body), { headers: { 'content-type': contentType ?? '' } });
    form = (await response.formData()) as FormData;
  } catch {
    return badRequest('The body is not valid multipart/form-data.');
  }
  const file = form.get('file');
  if (file === null || typeof file === 'string') return badRequest('file is required.', 'file');
  const model = form.get('model');
  if (model !== null && typeof model !== 'string') return badRequest('model must be a text field.', 'model');
  const seconds = Math.max(1, Math.ceil(file.size / BYTES_PER_SECOND));
  return {
    model: model ?? undefined,
    prompts: [{ text: `${file.name} ${file.size}`, tokens: PROMPT_TOKENS }],
    maxOutputTokens: OUTPUT_TOKENS,
    whole: answer => ({
      text: answer.text(0, answer.outputTokens),
      usage: { type: 'duration', seconds },
    }),
    stream: undefined,
  };
}
