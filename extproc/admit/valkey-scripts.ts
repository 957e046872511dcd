import { readFileSync } from 'node:fs';

/** What the server is asked to do, each in one round trip and atomically. The arguments are told in the files. */
export const VALKEY_SCRIPTS = {
  reserve: { lua: script('reserve.lua'), numberOfKeys: 1 },
  settle: { lua: script('settle.lua', ['allow-oom']), numberOfKeys: 2 },
  renew: { lua: script('renew.lua', ['allow-oom']), numberOfKeys: 1 },
} as const;

export type ValkeyScript = keyof typeof VALKEY_SCRIPTS;

/** https://valkey.io/topics/lua-api#script_flags: servers from Redis 7 on know them, and want them in the first line. */
function script(file: string, flags: readonly string[] = []): string {
  const [common, own] = ['counters.lua', file].map(name => readFileSync(new URL(name, import.meta.url), 'utf8'));
  const shebang = flags.length === 0 ? '' : `#!lua flags=${flags.join()}\n`;
  return `${shebang}${common}\n${own}`;
}
