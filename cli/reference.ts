import type { Command } from 'commander';
import { commandLine } from './command-line.ts';

/** `docs/reference/command-line.md`: what `--help` says of every command. */
export function commandLineReference(): string {
  const sections = runnable(commandLine(), '').map(({ name, command }) =>
    [`## ${name}`, '', '```', command.helpInformation().trimEnd(), '```'].join('\n'),
  );
  return [
    '# Command line',
    '',
    '<!-- Generated from cli/command-line.ts by `make docs`; changes made here are lost. -->',
    '',
    'In a checkout: `npx fairlead …`. Exit codes: 0 done, 1 it says what failed, 2 called wrongly.',
    '',
    sections.join('\n\n'),
    '',
  ].join('\n');
}

/** The commands that do something, those that stand under others by their whole name. */
function runnable(command: Command, parents: string): { name: string; command: Command }[] {
  const name = `${parents}${command.name()}`;
  if (command.commands.length === 0) return [{ name, command }];
  return command.commands.flatMap(inner => runnable(inner, `${name} `));
}
