import { crc32, deflateSync } from 'node:zlib';

const SIGNATURE = Buffer.from('\x89PNG\r\n\x1a\n', 'latin1');
/** Eight bits of each of red, green and blue. */
const HEADER_REST = Buffer.from([8, 2, 0, 0, 0]);
const BYTES_OF_PIXEL = 3;
/** A picture that takes no time to draw, and few bytes: it has so many fields each way. */
const FIELDS = 8;

/**
 * A picture: fields whose colours follow from the seed alone, so that the same call gets the same one. `comment`: words that
 * nobody sees in it.
 */
export function png(width: number, height: number, seed: number, comment = ''): Buffer {
  const line = 1 + BYTES_OF_PIXEL * width;
  const raw = Buffer.alloc(line * height);
  let drawn = -1;
  for (let y = 0; y < height; y++) {
    const row = Math.floor((y * FIELDS) / height);
    // All lines of a row are the same. Each begins with its filter: none.
    if (row === drawn) raw.copyWithin(y * line, (y - 1) * line, y * line);
    else {
      for (let x = 0; x < width; x++) {
        const field = Math.floor((x * FIELDS) / width) + FIELDS * row;
        raw.writeUIntBE(colourOf(seed, field), y * line + 1 + BYTES_OF_PIXEL * x, BYTES_OF_PIXEL);
      }
    }
    drawn = row;
  }
  const size = Buffer.alloc(8);
  size.writeUInt32BE(width, 0);
  size.writeUInt32BE(height, 4);
  return Buffer.concat([
    SIGNATURE,
    chunk('IHDR', Buffer.concat([size, HEADER_REST])),
    ...(comment === '' ? [] : [chunk('tEXt', Buffer.from(`Comment\0${comment}`, 'latin1'))]),
    chunk('IDAT', deflateSync(raw)),
    chunk('IEND', Buffer.alloc(0)),
  ]);
}

/** 24 bits of a multiplicative hash (Knuth). */
const colourOf = (seed: number, field: number): number => Math.imul(seed * 64 + field + 1, 2_654_435_761) >>> 8;

function chunk(type: string, content: Buffer): Buffer {
  const named = Buffer.concat([Buffer.from(type, 'latin1'), content]);
  const ends = Buffer.alloc(8);
  ends.writeUInt32BE(content.length, 0);
  ends.writeUInt32BE(crc32(named), 4);
  return Buffer.concat([ends.subarray(0, 4), named, ends.subarray(4)]);
}
