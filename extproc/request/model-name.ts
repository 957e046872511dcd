import { type Refusal, refuse } from '../../errors/refusal.ts';

/** Longest name of a model in UTF-8 bytes, wherever it stands (api.md §3). */
export const MAX_MODEL_NAME_BYTES = 256;

/**
 * What no name may hold: control characters, invisible format characters (they can turn a log line around), line and
 * paragraph separators, and halves of surrogate pairs.
 */
export const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/u;

/** `invalid_parameter` for the model. The value itself is never repeated: it may be hostile, or a megabyte. */
export function refuseModelName(what: string): Refusal {
  return refuse('invalid_parameter', { message: `The model's name ${what}`, param: 'model' });
}

/** The refusal of a name over `MAX_MODEL_NAME_BYTES`. */
export function refuseLongModelName(): Refusal {
  return refuseModelName(`is longer than ${MAX_MODEL_NAME_BYTES} bytes. GET /v1/models lists those that exist.`);
}

/** Why this cannot be the name of a model, wherever the request says it; undefined when it can. */
export function checkModelName(name: string): Refusal | undefined {
  if (name === '') return refuseModelName('is empty. GET /v1/models lists those that exist.');
  if (name.length > MAX_MODEL_NAME_BYTES || Buffer.byteLength(name) > MAX_MODEL_NAME_BYTES)
    return refuseLongModelName();
  if (UNPRINTABLE.test(name)) return refuseModelName('has control characters. Send it without them.');
  return undefined;
}

/**
 * Makes one name out of two sources, of which `preferred` has precedence (path, then header, then body). To be called
 * for each further source with what the call before returned.
 *
 * Two spellings agree when they are equal or when `resolve` says that both name the same model (an alias and its id);
 * a name that resolves to nothing agrees with no other spelling.
 *
 * @param resolve the key of the model that has this name, if any
 * @returns the name to use, undefined when neither source has one, or `model_mismatch`
 */
export function agree(
  preferred: string | undefined,
  other: string | undefined,
  resolve: (name: string) => string | undefined,
): string | undefined | Refusal {
  if (preferred === undefined || other === undefined || preferred === other) return preferred ?? other;
  const key = resolve(preferred);
  if (key !== undefined && key === resolve(other)) return preferred;
  return refuse('model_mismatch', {
    message: `The request names two different models, "${preferred}" and "${other}". Name one, in the path, the x-model header or the body.`,
    param: 'model',
  });
}
