import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { SavedCounters } from '../../../extproc/admit/saved-counters.ts';
import type { Gateway } from './gateway.ts';

const NONE: SavedCounters = { version: 1, wallMs: 0, steadyMs: 0, sliding: [], calendar: [] };

/** What a `fairlead up` has in the file of its counters, which it writes each second; nothing while it holds none. */
export function readCounters(gateway: Gateway): SavedCounters {
  try {
    return JSON.parse(readFileSync(fileOf(gateway), 'utf8')) as SavedCounters;
  } catch (error) {
    if (error instanceof SyntaxError || (error as NodeJS.ErrnoException).code === 'ENOENT') return NONE;
    throw error;
  }
}

/** For the next process that reads the file: counters, or text as it is. */
export function writeCounters(gateway: Gateway, content: SavedCounters | string): void {
  writeFileSync(fileOf(gateway), typeof content === 'string' ? content : JSON.stringify(content));
}

/** The budget of a consumer, in 10^-9 of its currency. */
export function budgetIn({ calendar }: SavedCounters, consumer: string): SavedCounters['calendar'][number] | undefined {
  return calendar.find(({ key }) => key.startsWith(`budget|default/${consumer}|`));
}

function fileOf(gateway: Gateway): string {
  return join(gateway.logs, 'counters.json');
}
