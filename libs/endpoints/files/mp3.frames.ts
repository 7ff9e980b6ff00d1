import { ByteWalk } from './byte.walk.js';

const HEADER_BYTES = 4;
const TAG_BYTES = 10;
/** Sample rates of MPEG-1. Those of MPEG-2 are the half, those of 2.5 a quarter. */
const SAMPLE_RATES = [44_100, 48_000, 32_000] as const;
/** In kbit a second, by layer and version. The first one stands for "free": nobody knows it. */
const LAYER_3_OF_1 = [0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320];
const LAYER_2_OF_1 = [0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384];
const LAYERS_OF_2 = [0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160];

/** Counts the frames of an MP3. Its tags say how long it is, too, but may say anything. */
export class Mp3Frames extends ByteWalk {
  seconds = 0;
  private mayBeTag = true;

  protected step(bytes: Buffer, at: number): number {
    const left = bytes.length - at;
    if (left < HEADER_BYTES) return 0;
    // Behind the first frame, or behind junk, such a tag is no tag, but what a decoder looks through.
    if (this.mayBeTag && bytes[at] === 0x49 && bytes[at + 1] === 0x44 && bytes[at + 2] === 0x33) {
      return left < TAG_BYTES ? 0 : TAG_BYTES + tagLengthOf(bytes, at);
    }
    this.mayBeTag = false;
    const frame = frameOf(bytes.readUInt32BE(at));
    if (!frame) {
      // Whatever is no frame may lie before the next one.
      const next = bytes.indexOf(0xff, at + 1);
      return next < 0 ? left - HEADER_BYTES + 1 : next - at;
    }
    this.seconds += frame.seconds;
    return frame.bytes;
  }
}

/** Of an ID3 tag: four times seven bits. */
function tagLengthOf(bytes: Buffer, at: number): number {
  return [6, 7, 8, 9].reduce((length, offset) => length * 128 + (bytes[at + offset]! & 0x7f), 0);
}

/** undefined: no frame begins so. */
function frameOf(header: number): { bytes: number; seconds: number } | undefined {
  const version = (header >>> 19) & 3;
  const layer = 4 - ((header >>> 17) & 3);
  const rate = SAMPLE_RATES[(header >>> 10) & 3];
  const rateIndex = (header >>> 12) & 15;
  const isSync = header >>> 21 === 0x7_ff;
  if (!isSync || version === 1 || (layer !== 2 && layer !== 3) || rate === undefined || rateIndex === 15)
    return undefined;
  const isFirst = version === 3;
  const sampleRate = isFirst ? rate : version === 2 ? rate / 2 : rate / 4;
  const samples = layer === 2 || isFirst ? 1_152 : 576;
  const kbit = (isFirst ? (layer === 3 ? LAYER_3_OF_1 : LAYER_2_OF_1) : LAYERS_OF_2)[rateIndex]!;
  const padding = (header >>> 9) & 1;
  // Of a "free" rate the next header shows where the frame ends.
  const bytes = kbit === 0 ? HEADER_BYTES : Math.floor((samples * kbit * 125) / sampleRate) + padding;
  return { bytes, seconds: samples / sampleRate };
}
