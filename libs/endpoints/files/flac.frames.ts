import { ByteWalk } from './byte.walk.js';

/** `fLaC`, then the head of the first block, which says the sample rate. */
const RATE_AT = 18;
const BEGINNING_BYTES = 42;
/** The longest head of a frame. */
const HEAD_BYTES = 16;
const SYNC = 0xff;
const RATES = [0, 88_200, 176_400, 192_000, 8_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 96_000];

/** Counts the frames of a FLAC file. What its first block says of its length may be anything. */
export class FlacFrames extends ByteWalk {
  private rate = 0;
  private isBegun = false;
  seconds = 0;

  protected step(bytes: Buffer, at: number): number {
    const left = bytes.length - at;
    if (!this.isBegun) {
      if (left < BEGINNING_BYTES) return 0;
      this.rate = (bytes.readUInt16BE(at + RATE_AT) << 4) | (bytes[at + RATE_AT + 2]! >> 4);
      this.isBegun = true;
      return BEGINNING_BYTES;
    }
    if (left < HEAD_BYTES) return 0;
    const isSync = bytes[at] === SYNC && (bytes[at + 1]! & 0xfe) === 0xf8;
    const frame = isSync ? frameOf(bytes.subarray(at, at + HEAD_BYTES)) : null;
    if (frame) {
      const rate = frame.rate || this.rate;
      if (rate > 0) this.seconds += frame.samples / rate;
      return frame.headBytes;
    }
    // Nothing says where a frame ends.
    const next = bytes.indexOf(SYNC, at + 1);
    return next < 0 ? left - HEAD_BYTES + 1 : Math.min(next - at, left);
  }
}

/** null: no frame begins so. `rate` 0: the file's own. */
function frameOf(head: Buffer): { samples: number; rate: number; headBytes: number } | null {
  const [, , codes = 0, form = 0, number = 0] = head;
  if ((form & 1) !== 0) return null;
  const [sizeCode, rateCode] = [codes >> 4, codes & 15];
  if (sizeCode === 0 || rateCode === 15) return null;
  const numberBytes = number < 0x80 ? 1 : Math.clz32(~number << 24);
  let at = 4 + numberBytes;
  if (numberBytes > 7 || (number >= 0x80 && number < 0xc0)) return null;
  const read = (bytes: number): number => head.readUIntBE((at += bytes) - bytes, bytes);
  const samples = samplesOf(sizeCode, read);
  const rate = rateCode < 12 ? RATES[rateCode]! : rateOf(rateCode, read);
  return crcOf(head.subarray(0, at)) === head[at] ? { samples, rate, headBytes: at + 1 } : null;
}

function samplesOf(code: number, read: (bytes: number) => number): number {
  if (code === 6 || code === 7) return read(code - 5) + 1;
  if (code === 1) return 192;
  return code < 6 ? 576 * 2 ** (code - 2) : 256 * 2 ** (code - 8);
}

function rateOf(code: number, read: (bytes: number) => number): number {
  if (code === 12) return read(1) * 1_000;
  return code === 13 ? read(2) : read(2) * 10;
}

function crcOf(bytes: Buffer): number {
  let crc = 0;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 0x80 ? ((crc << 1) ^ 0x07) & 0xff : crc << 1;
  }
  return crc;
}
