import { ByteWalk } from './byte.walk.js';

const PAGE_HEADER_BYTES = 27;
const OPUS_RATE = 48_000;
/** No packet of any codec has more. */
const PACKET_SECONDS_MAX = 0.12;
/** A packet ends where a lacing value is below it. */
const FULL_SEGMENT = 255;
/** No position: no packet ends on this page. */
const NONE = 0xffff_ffff_ffff_ffffn;

/** Reads how far each stream of an Ogg file says that it goes, and counts its packets. */
export class OggPages extends ByteWalk {
  private packets = 0;
  private rate = 0;
  private position = 0n;
  private before = 0;

  /** undefined: nobody knows its codec. Positions may be too high: packets bound them. */
  seconds(): number | undefined {
    if (this.rate === 0) return undefined;
    return Math.min(this.before + this.current(), this.packets * PACKET_SECONDS_MAX);
  }

  protected step(bytes: Buffer, at: number): number {
    const left = bytes.length - at;
    if (left < PAGE_HEADER_BYTES) return 0;
    if (bytes.toString('latin1', at, at + 4) !== 'OggS') {
      const next = bytes.indexOf('OggS', at + 1, 'latin1');
      return next < 0 ? left - PAGE_HEADER_BYTES + 1 : next - at;
    }
    const segments = bytes[at + PAGE_HEADER_BYTES - 1]!;
    const content = PAGE_HEADER_BYTES + segments;
    if (left < content) return 0;
    const lacing = bytes.subarray(at + PAGE_HEADER_BYTES, at + content);
    const length = lacing.reduce((sum, value) => sum + value, 0);
    const isFirst = (bytes[at + 5]! & 2) !== 0;
    // The first page of a stream is short, and says what codec it has.
    if (isFirst && left < content + Math.min(length, 16)) return 0;
    if (isFirst) this.begin(bytes.subarray(at + content, at + content + Math.min(length, 16)));
    this.packets += lacing.filter((value) => value < FULL_SEGMENT).length;
    const position = bytes.readBigUInt64LE(at + 6);
    if (position !== NONE && position > this.position) this.position = position;
    return content + length;
  }

  private begin(head: Buffer): void {
    this.before += this.current();
    this.position = 0n;
    const isVorbis = head.toString('latin1', 0, 7) === '\x01vorbis' && head.length >= 16;
    this.rate = head.toString('latin1', 0, 8) === 'OpusHead' ? OPUS_RATE : isVorbis ? head.readUInt32LE(12) : 0;
  }

  private current(): number {
    return this.rate === 0 ? 0 : Number(this.position) / this.rate;
  }
}
