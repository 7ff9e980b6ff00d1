import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';

/** As the provider's unreadable contents begin. */
const PREFIX = 'gAAAAA';
const TOKENS_BYTES = 4;
const MAC_BYTES = 16;
/** Long enough that nobody who counts by its length counts less than the provider. */
const BYTES_PER_TOKEN = 3;
const LEAST_BYTES = 24;

/** Content that only the organization which made it can read: of reasoning, and of a compaction. */
export class SealedContents {
  constructor(private readonly organization: string) {}

  /** Another one each time. `tokens`: what it costs as input. */
  make(tokens: number): string {
    const head = Buffer.alloc(TOKENS_BYTES);
    head.writeUInt32BE(tokens);
    const inner = Buffer.concat([head, randomBytes(LEAST_BYTES + BYTES_PER_TOKEN * tokens)]);
    return PREFIX + Buffer.concat([this.mac(inner), inner]).toString('base64url');
  }

  /** What it costs as input. undefined: another organization made it, or it was changed. */
  tokensOf(content: string): number | undefined {
    const all = Buffer.from(content.slice(PREFIX.length), 'base64url');
    const [mac, inner] = [all.subarray(0, MAC_BYTES), all.subarray(MAC_BYTES)];
    if (!content.startsWith(PREFIX) || inner.length < TOKENS_BYTES) return undefined;
    return timingSafeEqual(mac, this.mac(inner)) ? inner.readUInt32BE() : undefined;
  }

  private mac(inner: Buffer): Buffer {
    return createHmac('sha256', this.organization).update(inner).digest().subarray(0, MAC_BYTES);
  }
}
