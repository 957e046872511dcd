/** What an image says of itself; its files are those of this machine. */
export interface Image {
  /** What runs when a container names no command. */
  readonly entrypoint?: readonly string[];
  /** Its arguments when a container names neither command nor arguments. */
  readonly cmd?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

/** By repository ("ghcr.io/acme/tool"): tag and digest are whatever the chart says. */
export type Images = Readonly<Record<string, Image>>;

/** The image of a reference such as "repository:tag@digest", or undefined when there is none. */
export function findImage(images: Images, reference: string): Image | undefined {
  return images[reference.replace(/@.*$/, '').replace(/:[^:/]*$/, '')];
}

/** The command line: https://kubernetes.io/docs/tasks/inject-data-application/define-command-argument-container/ */
export function commandLine(
  image: Image,
  command: readonly string[] | undefined,
  args: readonly string[] | undefined,
): readonly string[] {
  if (command?.length) return [...command, ...(args ?? [])];
  return [...(image.entrypoint ?? []), ...(args?.length ? args : (image.cmd ?? []))];
}
