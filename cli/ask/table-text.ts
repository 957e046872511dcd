import Table from 'cli-table3';

/** Rows under headings, in columns, without lines: for people, and for `awk`. */
export function tableText(headings: readonly string[], rows: readonly (readonly string[])[]): string {
  const nothing = Object.fromEntries(
    ['top', 'top-mid', 'top-left', 'top-right', 'bottom', 'bottom-mid', 'bottom-left', 'bottom-right'].map(part => [
      part,
      '',
    ]),
  );
  const inside = { left: '', 'left-mid': '', mid: '', 'mid-mid': '', right: '', 'right-mid': '', middle: '   ' };
  const table = new Table({
    head: headings.map(heading => heading.toUpperCase()),
    chars: { ...nothing, ...inside },
    style: { head: [], border: [], 'padding-left': 0, 'padding-right': 0 },
  });
  for (const row of rows) table.push([...row]);
  return `${table
    .toString()
    .split('\n')
    .map(line => line.trimEnd())
    .join('\n')}\n`;
}
