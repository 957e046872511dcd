import { commandLine } from './command-line.ts';

/** `docs/reference/command-line.md`: what `--help` says of every command. */
export function commandLineReference(): string {
  const sections = commandLine().commands.map(command =>
    [`## fairlead ${command.name()}`, '', '```', command.helpInformation().trimEnd(), '```'].join('\n'),
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
