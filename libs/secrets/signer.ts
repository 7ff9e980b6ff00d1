import { createPrivateKey, createPublicKey, sign, verify, type KeyObject } from 'node:crypto';

/** PKCS #8 around a raw Ed25519 seed (RFC 8410). */
const SEED_PREFIX = Buffer.from('302e020100300506032b657004220420', 'hex');

/** Signs with Ed25519. Anybody who has the public key can check a signature, and cannot make one. */
export class Signer {
  private readonly privateKey: KeyObject;
  private readonly publicKey: KeyObject;

  /** @param seed 32 bytes */
  constructor(seed: Buffer) {
    this.privateKey = createPrivateKey({ key: Buffer.concat([SEED_PREFIX, seed]), format: 'der', type: 'pkcs8' });
    this.publicKey = createPublicKey(this.privateKey);
  }

  /** SPKI, base64. */
  get publicKeyText(): string {
    return this.publicKey.export({ format: 'der', type: 'spki' }).toString('base64');
  }

  sign(text: string): Buffer {
    return sign(null, Buffer.from(text), this.privateKey);
  }

  isSigned(text: string, signature: Buffer): boolean {
    return verify(null, Buffer.from(text), this.publicKey, signature);
  }
}
