import { once } from 'node:events';
import { createServer, type RequestListener, type Server } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { type CryptoKey, exportJWK, generateKeyPair, type JWK, SignJWT } from 'jose';
import type { KeyPair } from '../e2e/harness/certificates.ts';

/** A pair of keys that an issuer signs with. */
export interface SigningKey {
  readonly kid: string;
  readonly privateKey: CryptoKey;
  readonly publicJwk: JWK;
}

export async function signingKey(kid: string): Promise<SigningKey> {
  const { publicKey, privateKey } = await generateKeyPair('RS256');
  return { kid, privateKey, publicJwk: { ...(await exportJWK(publicKey)), kid, alg: 'RS256', use: 'sig' } };
}

/** Who signs tokens, and tells its public keys at a URL as long as it listens. */
export class TokenIssuer {
  readonly name: string;
  /** Those it tells. */
  keys: readonly SigningKey[];
  /** How often it was asked for them. */
  asked = 0;
  /** Never answers. */
  hanging = false;
  #server: Server | undefined;

  constructor(name: string, ...keys: readonly SigningKey[]) {
    this.name = name;
    this.keys = keys;
  }

  /** Listens on 127.0.0.1; gives its port. */
  async listen(port = 0, tls?: KeyPair): Promise<number> {
    const server = tls
      ? createTlsServer({ cert: tls.certificate, key: tls.key }, this.#answer)
      : createServer(this.#answer);
    server.listen(port, '127.0.0.1');
    await once(server, 'listening');
    this.#server = server;
    return (server.address() as AddressInfo).port;
  }

  readonly #answer: RequestListener = (_request, response) => {
    this.asked += 1;
    if (this.hanging) return;
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify({ keys: this.keys.map(({ publicJwk }) => publicJwk) }));
  };

  async close(): Promise<void> {
    const server = this.#server;
    if (server === undefined) return;
    this.#server = undefined;
    server.closeAllConnections();
    server.close();
    await once(server, 'close');
  }

  /** A token that is good for five minutes, but for what is said; undefined leaves a claim out. */
  async token(claims: Readonly<Record<string, unknown>> = {}, key = this.keys[0]): Promise<string> {
    if (key === undefined) throw new Error(`${this.name} has no key`);
    const nowSeconds = Math.floor(Date.now() / 1000);
    const payload = { iss: this.name, aud: 'fairlead', sub: 'ann', exp: nowSeconds + 300, ...claims };
    return new SignJWT(payload).setProtectedHeader({ alg: 'RS256', kid: key.kid }).sign(key.privateKey);
  }
}
