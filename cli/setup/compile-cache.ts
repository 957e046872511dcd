import { globSync } from 'node:fs';
import { join } from 'node:path';

// With NODE_COMPILE_CACHE, leaves there compiled what the processes of an image load: with it they need no TypeScript
// compiler in their memory, which takes 20 MB. https://nodejs.org/docs/latest-v24.x/api/module.html#module-compile-cache
const cli = join(import.meta.dirname, '..');
for (const module of globSync(['sim.ts', '{ask,node}/*.ts'], { cwd: cli, exclude: ['**/*.test.ts'] })) {
  await import(join(cli, module));
}
// Is compiled before it finds that it is no thread.
await import('../../agent/thread.ts').catch(() => undefined);
