import { z } from 'zod';
import { unshown } from './secret-ref.ts';

const MAX_URL_CHARACTERS = 2_048;

/**
 * The address of a server: `example` tells its form, `schemes` what it may begin with, `fits` whether the rest is right.
 * A user or a password in it is refused; no message shows the value, which may have one.
 */
export function serverUrl(example: string, schemes: readonly string[], fits: (url: URL) => boolean) {
  const form = `a URL such as \`${example}\``;
  return z
    .string({ error: unshown(form) })
    .max(MAX_URL_CHARACTERS, `longer than ${MAX_URL_CHARACTERS} characters`)
    .superRefine((text, context) => {
      const refuse = (message: string) => context.addIssue({ code: 'custom', message });
      const scheme = /^([a-z][a-z0-9+.-]*):\/\//.exec(text)?.[1];
      if (scheme === undefined || !URL.canParse(text)) refuse(`expected ${form}`);
      else if (!schemes.includes(scheme)) refuse(`expected ${form}, got one that begins with \`${scheme}://\``);
      else {
        const url = new URL(text);
        if (url.username !== '' || url.password !== '') {
          refuse('has a user or a password in it, which everybody could read: both belong elsewhere');
        } else if (url.hostname === '' || url.hash !== '' || !fits(url)) refuse(`expected ${form}`);
      }
    });
}
