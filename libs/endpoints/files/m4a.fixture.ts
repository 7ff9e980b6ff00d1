/** A box of an MP4: its size, its type, and what it holds. */
export function box(type: string, ...parts: readonly (Uint8Array | number[])[]): Buffer {
  const content = Buffer.concat(parts.map((part) => Buffer.from(part)));
  const head = Buffer.alloc(8);
  head.writeUInt32BE(8 + content.length);
  head.write(type, 4, 'latin1');
  return Buffer.concat([head, content]);
}

/** Numbers of four bytes each. */
export function words(...values: readonly number[]): Buffer {
  const bytes = Buffer.alloc(4 * values.length);
  for (const [index, value] of values.entries()) bytes.writeUInt32BE(value, 4 * index);
  return bytes;
}

const PACKET_SAMPLES = 1_024;
const PACKET_BYTES = 180;
const TIMES = [0, 0];

interface M4a {
  packets: number;
  rate?: number;
  /** Where they are not true, in ticks. */
  headerTicks?: number;
  tableTicks?: number;
  /** Of its decoder's setup: 4 for 44.1 kHz, 3 for 48 kHz. */
  rateIndex?: number;
  codec?: string;
  handler?: string;
  /** Beside its tables. */
  more?: Buffer;
}

/** The description of a sound of AAC. */
export function aac(rate: number, rateIndex: number, codec = 'mp4a'): Buffer {
  const setup = [5, 2, (2 << 3) | (rateIndex >> 1), (rateIndex & 1) << 7];
  const decoder = [4, 13 + setup.length, 0x40, 0x15, 0, 0, 0, ...words(128_000, 128_000), ...setup];
  const stream = [3, 0x80, 0x80, 3 + decoder.length, 0, 1, 0, ...decoder];
  const fields = Buffer.alloc(28);
  fields.writeUInt16BE(rate, 24);
  return box('stsd', words(0, 1), box(codec, fields, box('esds', words(0), stream)));
}

export const header = (type: 'mvhd' | 'mdhd', timescale: number, ticks: number): Buffer =>
  box(type, words(0, ...TIMES, timescale, ticks, 0));

/** A track as recorders write it; `tables`: its packets. */
export function track(
  { rate = 44_100, rateIndex = 4, codec, handler = 'soun', more = Buffer.alloc(0) }: Partial<M4a>,
  ticks: number,
  tables: readonly Buffer[],
): Buffer {
  return box(
    'trak',
    box('tkhd', words(0, ...TIMES, 1, 0, ticks)),
    box(
      'mdia',
      header('mdhd', rate, ticks),
      box('hdlr', words(0, 0), Buffer.from(handler, 'latin1'), words(0, 0, 0)),
      box('minf', box('stbl', aac(rate, rateIndex, codec), ...tables, more)),
    ),
  );
}

export const ftyp = (): Buffer => box('ftyp', Buffer.from('M4A \0\0\0\0M4A mp42isom', 'latin1'));
export const media = (packets: number): Buffer => box('mdat', Buffer.alloc(packets * PACKET_BYTES));

/** What a phone's recording says of itself: 44.1 kHz, one channel, some 62 kbit a second. */
export function moov(recording: M4a): Buffer {
  const { packets, rate = 44_100 } = recording;
  const ticks = recording.headerTicks ?? packets * PACKET_SAMPLES;
  const delta = recording.tableTicks === undefined ? PACKET_SAMPLES : Math.floor(recording.tableTicks / packets);
  const sizes = Array.from({ length: packets }, () => PACKET_BYTES);
  return box(
    'moov',
    header('mvhd', rate, ticks),
    track(recording, ticks, [
      box('stts', words(0, 1, packets, delta)),
      box('stsc', words(0, 1, 1, packets, 1)),
      box('stsz', words(0, 0, packets, ...sizes)),
      box('stco', words(0, 1, 36)),
    ]),
    box('udta', Buffer.from('A note of the recorder')),
  );
}

/** A whole recording. `last`: `moov` follows the media, as phones write it. */
export function m4a(recording: M4a, last = true): Buffer {
  const parts = [moov(recording), box('free', Buffer.alloc(99)), media(recording.packets)];
  return Buffer.concat([ftyp(), ...(last ? parts.toReversed() : parts)]);
}

/** In fragments, as browsers record it: its header says nothing of its length. `ticks`: of a packet; undefined: by `trex`. */
export function fragments(count: number, packets: number, ticks?: number): Buffer {
  const rate = 48_000;
  const head = box(
    'moov',
    header('mvhd', rate, 0),
    track({ rate, rateIndex: 3 }, 0, [box('stts', words(0, 0)), box('stsz', words(0, 0, 0))]),
    box('mvex', box('trex', words(0, 1, 1, PACKET_SAMPLES, PACKET_BYTES, 0))),
  );
  const run = Array.from({ length: packets }, () => (ticks === undefined ? [PACKET_BYTES] : [ticks, PACKET_BYTES]));
  const flags = 0x201 | (ticks === undefined ? 0 : 0x100);
  const fragment = Buffer.concat([
    box(
      'moof',
      box('mfhd', words(0, 1)),
      box('traf', box('tfhd', words(0x02_00_00, 1)), box('trun', words(flags, packets, 0, ...run.flat()))),
    ),
    media(packets),
  ]);
  return Buffer.concat([ftyp(), head, ...Array.from({ length: count }, () => fragment)]);
}
