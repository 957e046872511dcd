import { chmodSync, lstatSync, mkdirSync, unlinkSync } from 'node:fs';
import { connect } from 'node:net';
import { dirname } from 'node:path';

/** Only the user that runs Envoy and us may speak to our sockets: they decide where requests go. */
const ownerOnly = 0o600;

/**
 * Makes room for a Unix socket: its folder, and no file of a process that is gone.
 * Rejects when something still listens there, or when what is there is no socket.
 */
export async function clearSocketPath(path: string): Promise<void> {
  mkdirSync(dirname(path), { recursive: true });
  const file = lstatSync(path, { throwIfNoEntry: false });
  if (file === undefined) return;
  if (!file.isSocket()) throw new Error(`${path} is not a socket; remove it or choose another path`);
  if (await isListening(path)) throw new Error(`another process is listening on ${path}`);
  unlinkSync(path);
}

/** Closes the socket file to other users. */
export function protectSocket(path: string): void {
  chmodSync(path, ownerOnly);
}

function isListening(path: string): Promise<boolean> {
  return new Promise(resolve => {
    const socket = connect(path);
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}
