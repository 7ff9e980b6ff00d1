import { ByteWalk } from './byte.walk.js';

/** An element's head: its id has up to 4 bytes, its size up to 8. */
const HEAD_BYTES = 12;
/** Segment, Cluster, BlockGroup, Tracks, TrackEntry: what they hold is read like what stands beside them. */
const HOLDERS = new Set([0x18_53_80_67, 0x1f_43_b6_75, 0xa0, 0x16_54_ae_6b, 0xae]);
const CLUSTER = Buffer.from([0x1f, 0x43, 0xb6, 0x75]);
const BLOCK = 0xa1;
const SIMPLE_BLOCK = 0xa3;
const CODEC = 0x86;
/** Says that packets are packed or encrypted. */
const ENCODINGS = 0x6d_80;
const OPUS = 'A_OPUS';
const CODEC_BYTES_MAX = 64;
/** Of a block, before its packet: the number of its track, its time, its flags. Then the packet's first two bytes. */
const BLOCK_HEAD_BYTES = 13;
/** No packet of Opus is larger: 48 frames of 1,275 bytes. */
const PACKET_BYTES_MAX = 65_536;
const PACKET_MS_MAX = 120;
/** Opus has at most 510 kbit a second. */
const MOST_BYTES_PER_SECOND = 64_000;

/** Counts the packets of a WebM file with Opus, as browsers record it. Each packet says how long it is. */
export class WebmBlocks extends ByteWalk {
  private packetSeconds = 0;
  private readonly codecs = new Set<string>();
  private isPacked = false;
  private isLost = false;
  /** Of blocks and holders. In other elements a decoder may find something that this does not look for. */
  readBytes = 0;

  /** undefined: it is not of Opus alone, so that nobody here knows its packets. */
  get seconds(): number | undefined {
    return this.codecs.size === 1 && this.codecs.has(OPUS) && !this.isPacked ? this.packetSeconds : undefined;
  }

  protected step(bytes: Buffer, at: number): number {
    const left = bytes.length - at;
    if (this.isLost) {
      const next = bytes.indexOf(CLUSTER, at);
      if (next < 0) return Math.max(0, left - CLUSTER.length + 1);
      this.isLost = false;
      if (next > at) return next - at;
    }
    if (left < HEAD_BYTES) return 0;
    const idBytes = lengthOf(bytes[at]!);
    const sizeBytes = idBytes > 4 ? 9 : lengthOf(bytes[at + idBytes]!);
    if (sizeBytes > 8) return this.lost();
    const id = bytes.readUIntBE(at, idBytes);
    const head = idBytes + sizeBytes;
    if (HOLDERS.has(id)) return this.read(head);
    const size = sizeOf(bytes.subarray(at + idBytes, at + head));
    // A size that is unknown, or that no file has.
    if (size === null) return this.lost();
    if (id === ENCODINGS) this.isPacked = true;
    if (id === CODEC && size <= CODEC_BYTES_MAX) {
      if (left < head + size) return 0;
      this.codecs.add(bytes.toString('latin1', at + head, at + head + size).replace(/\0+$/, ''));
      return head + size;
    }
    if ((id !== BLOCK && id !== SIMPLE_BLOCK) || size > PACKET_BYTES_MAX) return head + size;
    if (left < head + Math.min(size, BLOCK_HEAD_BYTES)) return 0;
    const ms = packetsMsOf(bytes.subarray(at + head, at + head + Math.min(size, BLOCK_HEAD_BYTES)));
    this.packetSeconds += Math.max(ms / 1_000, size / MOST_BYTES_PER_SECOND);
    return this.read(head + size);
  }

  /** As decoders do after bytes that they cannot read, it goes on at the next cluster. */
  private lost(): number {
    this.isLost = true;
    return 1;
  }

  private read(count: number): number {
    this.readBytes += count;
    return count;
  }
}

/** How many bytes a number has that begins so; 9: none does. */
const lengthOf = (first: number): number => Math.clz32(first) - 23;

function sizeOf(written: Buffer): number | null {
  const [first = 0, ...rest] = written;
  const mask = 0xff >> written.length;
  const size = rest.reduce((sum, byte) => sum * 256 + byte, first & mask);
  const isUnknown = (first & mask) === mask && rest.every((byte) => byte === 0xff);
  return isUnknown || !Number.isSafeInteger(size) ? null : size;
}

/** Of all packets of a block. */
function packetsMsOf(block: Buffer): number {
  const flagsAt = lengthOf(block[0] ?? 0) + 2;
  const flags = block[flagsAt];
  const first = block[flagsAt + 1];
  if (flags === undefined || first === undefined) return PACKET_MS_MAX;
  const isLaced = (flags & 0x06) !== 0;
  return isLaced ? (first + 1) * PACKET_MS_MAX : packetMsOf(first, block[flagsAt + 2] ?? 0);
}

/** By its first byte, and by its second one where that counts its frames (RFC 6716, 3.1). */
function packetMsOf(first: number, second: number): number {
  const config = first >> 3;
  const silk = [10, 20, 40, 60];
  const frameMs = config < 12 ? silk[config % 4]! : config < 16 ? silk[config % 2]! : [2.5, 5, 10, 20][config % 4]!;
  const frames = [1, 2, 2, second & 63][first & 3]!;
  return Math.min(frameMs * frames, PACKET_MS_MAX);
}
