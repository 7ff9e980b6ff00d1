import { FlacFrames } from './flac.frames.js';
import { Mp3Frames } from './mp3.frames.js';
import { Mp4Boxes } from './mp4.boxes.js';
import { OggPages } from './ogg.pages.js';
import { WebmBlocks } from './webm.blocks.js';

/** A file whose header says nothing that can be believed has at least so many bytes for a second. */
const LEAST_BYTES_PER_SECOND = 750;
/** No sound that a model hears has more: 192 kHz, two channels, 32 bits. */
const MOST_WAV_BYTES_PER_SECOND = 1_536_000;
/** Opus and Vorbis have at most some 500 kbit a second. */
const MOST_OGG_BYTES_PER_SECOND = 64_000;
/** Plain samples, in whole numbers, in floats or by either law, and a longer form of these. Others are compressed. */
const WAV_CODECS = new Set([1, 3, 6, 7, 0xff_fe]);
/** The chunks before the samples lie within so many bytes, or nobody believes them. */
const WAV_HEAD_BYTES = 4_096;

/** How long a sound takes, as far as its own bytes tell: `add` takes each piece of the file in its order. */
export interface AudioLength {
  add(piece: Uint8Array): void;
  seconds(): number;
}

/** `seconds` 0: it has no frame that can be read. */
interface Frames {
  add(piece: Uint8Array): void;
  readonly seconds: number;
}

/** undefined: the type is no sound. `type`: by the file's first bytes. */
export function audioLengthOf(type: string): AudioLength | undefined {
  if (!type.startsWith('audio/')) return undefined;
  switch (type) {
    case 'audio/wav':
      return new WavLength();
    case 'audio/mpeg':
      return new FrameLength(new Mp3Frames());
    case 'audio/ogg':
      return new OggLength();
    case 'audio/webm':
      return new WebmLength();
    case 'audio/flac':
      return new FrameLength(new FlacFrames());
    case 'audio/mp4':
      return new FrameLength(new Mp4Boxes());
    default:
      return new CountedBytes();
  }
}

class CountedBytes implements AudioLength {
  protected bytes = 0;

  add(piece: Uint8Array): void {
    this.bytes += piece.byteLength;
  }

  seconds(): number {
    return this.bytes / LEAST_BYTES_PER_SECOND;
  }
}

/** All bytes count as samples: how many there are, a header may say wrongly, and a stream does not know. */
class WavLength extends CountedBytes {
  private head = Buffer.alloc(0);

  override add(piece: Uint8Array): void {
    super.add(piece);
    const missing = WAV_HEAD_BYTES - this.head.length;
    if (missing > 0) this.head = Buffer.concat([this.head, piece.subarray(0, missing)]);
  }

  override seconds(): number {
    const rate = wavRateOf(this.head);
    return rate > 0 ? this.bytes / Math.min(rate, MOST_WAV_BYTES_PER_SECOND) : super.seconds();
  }
}

/** Bytes of a second; 0: unknown. Of two rates that contradict each other, the slower one. */
function wavRateOf(head: Buffer): number {
  for (let at = 12; at + 24 <= head.length;) {
    const size = head.readUInt32LE(at + 4);
    if (head.toString('latin1', at, at + 4) !== 'fmt ') {
      // Chunks begin at even places.
      at += 8 + size + (size % 2);
      continue;
    }
    const samples = head.readUInt32LE(at + 12) * head.readUInt16LE(at + 10) * (head.readUInt16LE(at + 22) / 8);
    return WAV_CODECS.has(head.readUInt16LE(at + 8)) ? Math.min(head.readUInt32LE(at + 16), samples) : 0;
  }
  return 0;
}

/** The sum of what a file's frames take, where there are some that can be read. */
class FrameLength extends CountedBytes {
  constructor(private readonly frames: Frames) {
    super();
  }

  override add(piece: Uint8Array): void {
    super.add(piece);
    this.frames.add(piece);
  }

  override seconds(): number {
    return this.frames.seconds || super.seconds();
  }
}

class OggLength extends CountedBytes {
  private readonly pages = new OggPages();

  override add(piece: Uint8Array): void {
    super.add(piece);
    this.pages.add(piece);
  }

  override seconds(): number {
    const told = this.pages.seconds();
    return told === undefined ? super.seconds() : Math.max(told, this.bytes / MOST_OGG_BYTES_PER_SECOND);
  }
}

class WebmLength extends CountedBytes {
  private readonly blocks = new WebmBlocks();

  override add(piece: Uint8Array): void {
    super.add(piece);
    this.blocks.add(piece);
  }

  override seconds(): number {
    const told = this.blocks.seconds;
    if (told === undefined) return super.seconds();
    return told + Math.max(0, this.bytes - this.blocks.readBytes) / LEAST_BYTES_PER_SECOND;
  }
}
