import { crc32, deflateSync } from 'node:zlib';
import { FLAGGED_PHRASE } from './rehearsal.moderation.js';

const SIGNATURE = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
const [BITS, RGB] = [8, 2];
const CHANNELS = 3;

export interface Drawing {
  width: number;
  height: number;
  /** Decides the colours: the same words give the same picture. */
  seed: string;
  /** How much of it is drawn, from 0 to 1; the rest is grey. */
  share?: number;
  /** The moderation of the rehearsal flags it. */
  flagged?: boolean;
  /** Bytes of a comment, for a picture that has to be large. */
  padding?: number;
}

/** A real PNG: stripes whose colours come from its words. */
export function drawPng({ width, height, seed, share = 1, flagged = false, padding = 0 }: Drawing): Buffer {
  let state = 2_166_136_261;
  for (let at = 0; at < seed.length; at++) state = Math.imul(state ^ seed.charCodeAt(at), 16_777_619) >>> 0;
  const stripe = Math.max(16, Math.floor(height / 16));
  const rows: Buffer[] = [];
  for (let from = 0; from < height; from += stripe) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    const colour = from < height * share ? state : 0x80808080;
    const row = Buffer.alloc(1 + width * CHANNELS);
    for (let at = 1; at < row.length; at++) row[at] = (colour >>> (8 * (1 + ((at - 1) % CHANNELS)))) & 0xff;
    for (let line = from; line < Math.min(height, from + stripe); line++) rows.push(row);
  }
  const head = Buffer.alloc(13);
  head.writeUInt32BE(width, 0);
  head.writeUInt32BE(height, 4);
  head[8] = BITS;
  head[9] = RGB;
  return Buffer.concat([
    SIGNATURE,
    chunk('IHDR', head),
    ...(flagged ? [chunk('tEXt', Buffer.from(`Comment\0${FLAGGED_PHRASE}`))] : []),
    ...(padding > 0 ? [chunk('tEXt', Buffer.from(`Padding\0${'x'.repeat(padding)}`))] : []),
    chunk('IDAT', deflateSync(Buffer.concat(rows), { level: 1 })),
    chunk('IEND', Buffer.alloc(0)),
  ]);
}

function chunk(type: string, data: Buffer): Buffer {
  const body = Buffer.concat([Buffer.from(type, 'latin1'), data]);
  const whole = Buffer.alloc(body.length + 8);
  whole.writeUInt32BE(data.length, 0);
  body.copy(whole, 4);
  whole.writeUInt32BE(crc32(body), body.length + 4);
  return whole;
}
