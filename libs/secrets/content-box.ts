import { createCipheriv, createDecipheriv, createSecretKey, randomFillSync, type KeyObject } from 'node:crypto';
import { promisify } from 'node:util';
import { constants, deflateRaw, deflateRawSync, inflateRaw } from 'node:zlib';

const IV_BYTES = 12;
const TAG_BYTES = 16;
/** Fetches random bytes for so many IVs at a time. One by one they took half as long as the encryption (measured). */
const IVS = 512;
const ivs = Buffer.alloc(IVS * IV_BYTES);
let ivsUsed = IVS;
/** Encryption is synchronous, so that one serves all. A frame of a large answer fills it. */
const SCRATCH_BYTES = 524_288;
const scratch = Buffer.alloc(SCRATCH_BYTES);
/** Compressing a short text here takes less time than handing it to a thread. */
const SHORT_CHARACTERS = 32_768;
/** Text of answers shrinks to about a tenth at any level. */
const FAST = { level: constants.Z_BEST_SPEED };
const deflate = promisify(deflateRaw);
const inflate = promisify(inflateRaw);

/**
 * Encrypts content for its time in Redis or in the record: AES-256-GCM, bound to an id, so that no content fits another
 * call.
 */
export class ContentBox {
  // Made once: from bytes Node makes it anew at each use, which took as long as the encryption (measured).
  private readonly key: KeyObject;

  constructor(key: Buffer) {
    this.key = createSecretKey(key);
  }

  seal(content: string | Buffer, requestId: string): Buffer {
    return Buffer.concat(this.sealed([content], requestId));
  }

  /** As `seal`, for content in pieces. What it returns is in pieces, too: nobody copies a large one. */
  sealPieces(content: readonly Uint8Array[], requestId: string): Buffer[] {
    return this.sealed(gathered(content), requestId);
  }

  private sealed(content: Iterable<string | Uint8Array>, requestId: string): Buffer[] {
    const iv = freshIv();
    const cipher = createCipheriv('aes-256-gcm', this.key, iv);
    cipher.setAAD(Buffer.from(requestId));
    const sealed = [Buffer.from(iv)];
    for (const part of content)
      sealed.push(typeof part === 'string' ? cipher.update(part, 'utf8') : cipher.update(part));
    sealed.push(cipher.final(), cipher.getAuthTag());
    return sealed;
  }

  /** As `seal`, compressed first. A long text is compressed in a thread, and does not hold up other calls. */
  async pack(text: string, requestId: string): Promise<Buffer> {
    const packed = text.length < SHORT_CHARACTERS ? deflateRawSync(text, FAST) : await deflate(text, FAST);
    return this.seal(packed, requestId);
  }

  /** The text of `pack`. @throws as `open`, or when the text is longer than `bytesMax` */
  async unpack(sealed: Buffer, requestId: string, bytesMax: number): Promise<string> {
    return (await inflate(this.openBytes(sealed, requestId), { maxOutputLength: bytesMax })).toString('utf8');
  }

  /** @throws when somebody altered the content, or when it belongs to another call */
  open(sealed: Buffer, requestId: string): string {
    return this.openBytes(sealed, requestId).toString('utf8');
  }

  /** @throws as `open` */
  openBytes(sealed: Buffer, requestId: string): Buffer {
    const decipher = createDecipheriv('aes-256-gcm', this.key, sealed.subarray(0, IV_BYTES), {
      authTagLength: TAG_BYTES,
    });
    decipher.setAAD(Buffer.from(requestId));
    decipher.setAuthTag(sealed.subarray(-TAG_BYTES));
    const content = decipher.update(sealed.subarray(IV_BYTES, -TAG_BYTES));
    // It holds nothing under GCM, and checks the tag.
    decipher.final();
    return content;
  }
}

/**
 * The same bytes in larger parts. A cipher makes a buffer for each part, which took longer than to encrypt a small one
 * (measured). Each part is gone when the next one is asked for.
 */
function* gathered(pieces: readonly Uint8Array[]): Generator<Uint8Array> {
  let bytes = 0;
  for (const piece of pieces) {
    for (let from = 0; from < piece.byteLength;) {
      const part = piece.subarray(from, from + scratch.length - bytes);
      scratch.set(part, bytes);
      bytes += part.byteLength;
      from += part.byteLength;
      if (bytes < scratch.length) continue;
      yield scratch;
      bytes = 0;
    }
  }
  if (bytes > 0) yield scratch.subarray(0, bytes);
}

/** Returns each IV once. The caller copies it before it asks for the next one. */
function freshIv(): Buffer {
  if (ivsUsed === IVS) {
    randomFillSync(ivs);
    ivsUsed = 0;
  }
  const start = ivsUsed++ * IV_BYTES;
  return ivs.subarray(start, start + IV_BYTES);
}
