const GRAVE_LEVELS: readonly unknown[] = ['warn', 'error', 'fatal'];
/** Told from the agent's reports, which also tell when it is over. */
const TOLD_ELSEWHERE: readonly unknown[] = ['envoy.refused'];

/** An event of one of our processes in words, when it is worth a person's attention; otherwise undefined. */
export function graveEvent(line: string): string | undefined {
  const event = eventIn(line);
  if (event === undefined || !GRAVE_LEVELS.includes(event.level) || TOLD_ELSEWHERE.includes(event.event)) return;
  return inWords(event);
}

/** A line of Envoy in words, when it is worth a person's attention; otherwise undefined. */
export function graveEnvoyLine(line: string): string | undefined {
  const [, component, message] = /^(?:critical|error) (\S+) (.*)/.exec(line) ?? [];
  // Envoy says so of configuration that it refuses, and the agent reports it.
  return component === 'config' ? undefined : message;
}

/** Which of the last lines of a process that ended by itself says why, in words; undefined when none does. */
export function reasonIn(lines: readonly string[]): string | undefined {
  return lines.map(reasonOf).findLast(reason => reason !== undefined);
}

function reasonOf(line: string): string | undefined {
  // Of `fairlead` itself, of a Node process that threw, of Envoy, of a dynamic linker or a shell.
  const [, said] = /^(?:fairlead: |(?:Uncaught )?(?=\w*Error(?: \[\w+\])?: )|critical \S+ )(.+)/.exec(line) ?? [];
  return said ?? graveEvent(line);
}

type LogEvent = Readonly<Record<string, unknown>>;

/** The event that a line of JSON is; undefined when it is something else. */
function eventIn(line: string): LogEvent | undefined {
  if (!line.startsWith('{')) return undefined;
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}

/** "event: what happened", then what else is known of it. */
function inWords({ event, level: _level, time: _time, message, reason, err, ...rest }: LogEvent): string {
  const happened = [message, reason, (err as Error | undefined)?.message].filter(text => typeof text === 'string');
  const details = Object.entries(rest).map(([name, value]) => `${name} ${plain(value)}`);
  const words = [...happened, ...(details.length === 0 ? [] : [`(${details.join(', ')})`])].join(' ');
  return [event, words].filter(part => part !== undefined && part !== '').join(': ');
}

function plain(value: unknown): string {
  return typeof value === 'object' ? JSON.stringify(value) : String(value);
}
