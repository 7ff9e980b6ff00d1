import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { wav } from '#libs/rehearsal/wav.js';
import { audioLengthOf } from './audio.length.js';
import { box, fragments, ftyp, header, m4a, media, moov, track, words } from './m4a.fixture.js';

/** Seconds of a sound that arrives in pieces of so many bytes. */
function secondsOf(type: string, sound: Buffer, pieceBytes = sound.length): number {
  const length = audioLengthOf(type)!;
  // Whoever reads a file uses the memory of a piece again.
  const memory = Buffer.alloc(pieceBytes);
  for (let at = 0; at < sound.length; at += pieceBytes) {
    const copied = sound.copy(memory, 0, at, at + pieceBytes);
    length.add(memory.subarray(0, copied));
  }
  return length.seconds();
}

/** MPEG-1 layer III, 128 kbit a second at 44.1 kHz: 417 or 418 bytes a frame. */
function mp3(frames: number): Buffer {
  const frame = Buffer.alloc(417);
  frame.set([0xff, 0xfb, 0x90, 0x00]);
  return Buffer.concat(Array.from({ length: frames }, () => frame));
}

function page(content: Buffer, position: bigint, { first = false, lacing = [content.length] } = {}): Buffer {
  const head = Buffer.alloc(27);
  head.write('OggS', 0, 'latin1');
  head[5] = first ? 2 : 0;
  head.writeBigUInt64LE(position, 6);
  head[26] = lacing.length;
  return Buffer.concat([head, Buffer.from(lacing), content]);
}
const opusHead = (): Buffer =>
  page(Buffer.from('OpusHead\x01\x01\x38\x01\x80\xbb\x00\x00\x00\x00\x00', 'latin1'), 0n, { first: true });
/** Pages of 50 packets of 20 ms each, whose positions are true. */
const opus = (seconds: number, position = (second: number): bigint => BigInt(48_000 * second)): Buffer =>
  Buffer.concat([
    opusHead(),
    ...Array.from({ length: seconds }, (_, index) =>
      page(Buffer.alloc(50 * 40), position(index + 1), { lacing: Array<number>(50).fill(40) }),
    ),
  ]);

/** An element of a WebM file. */
function element(id: number[], content: Buffer): Buffer {
  const size = Buffer.alloc(4);
  size.writeUInt32BE(0x1000_0000 | content.length);
  return Buffer.concat([Buffer.from(id), size, content]);
}
const UNKNOWN_SIZE = Buffer.from([0x01, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
const CLUSTER = [0x1f, 0x43, 0xb6, 0x75];
/** A packet of two frames of 10 ms, of one channel at 12 kHz. */
const PACKET = Buffer.concat([Buffer.from([(4 << 3) | 1]), Buffer.alloc(119)]);
const block = (packet = PACKET, flags = 0x80): Buffer =>
  element([0xa3], Buffer.concat([Buffer.from([0x81, 0, 0, flags]), packet]));
/** As browsers record it: nobody knows the sizes of segment and clusters. 50 packets of 20 ms in each. */
const webm = (seconds: number, { codec = 'A_OPUS', blocks = Array.from({ length: 50 }, () => block()) } = {}): Buffer =>
  Buffer.concat([
    element([0x1a, 0x45, 0xdf, 0xa3], Buffer.from('\x42\x82\x84webm', 'latin1')),
    Buffer.from([0x18, 0x53, 0x80, 0x67]),
    UNKNOWN_SIZE,
    element([0x16, 0x54, 0xae, 0x6b], element([0xae], element([0x86], Buffer.from(codec)))),
    ...Array.from({ length: seconds }, () => Buffer.concat([Buffer.from(CLUSTER), UNKNOWN_SIZE, ...blocks])),
  ]);

/** The head of a frame of 4,096 samples, with its checksum, and what it holds. */
function flacFrame(number: number, rateCode = 0): Buffer {
  const head = [0xff, 0xf8, 0xc0 | rateCode, 0x18, number];
  let crc = 0;
  for (const byte of head) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 0x80 ? ((crc << 1) ^ 7) & 0xff : crc << 1;
  }
  return Buffer.concat([Buffer.from([...head, crc]), Buffer.alloc(40, 1)]);
}
function flac(frames: number, rateCode = 0): Buffer {
  const head = Buffer.alloc(42);
  head.write('fLaC', 0, 'latin1');
  head.writeUInt32BE(16_000 << 12, 18);
  return Buffer.concat([head, ...Array.from({ length: frames }, (_, number) => flacFrame(number % 128, rateCode))]);
}

const nested = (depth: number): Buffer => (depth === 0 ? Buffer.alloc(0) : box('moof', nested(depth - 1)));

describe('how long a sound takes', () => {
  it('is known of sounds alone', () => {
    expect(audioLengthOf('image/png')).toBeUndefined();
    expect(audioLengthOf('')).toBeUndefined();
  });

  it('is told by the rate of a wav, in pieces of any size', () => {
    for (const pieceBytes of [64_044, 1_000, 7]) expect(secondsOf('audio/wav', wav(2), pieceBytes)).toBeCloseTo(2, 2);
  });

  it('is no shorter than the bytes of a wav whose header lies', () => {
    const liar = (change: (sound: Buffer) => void): number => {
      const sound = wav(10);
      change(sound);
      return secondsOf('audio/wav', sound);
    };
    // Ten times the rate, in one place alone; a size that is short; rates that no sound has.
    expect(liar((sound) => sound.writeUInt32LE(320_000, 28))).toBeGreaterThanOrEqual(10);
    expect(liar((sound) => sound.writeUInt32LE(2, 40))).toBeGreaterThanOrEqual(10);
    const absurd = liar((sound) => {
      sound.writeUInt32LE(0xffff_ffff, 24);
      sound.writeUInt32LE(0xffff_ffff, 28);
    });
    expect(absurd).toBeGreaterThanOrEqual(320_000 / 1_536_000);
    // Compressed samples, no rate at all, no fmt chunk: 750 bytes a second.
    expect(liar((sound) => sound.writeUInt16LE(0x55, 20))).toBeCloseTo(320_044 / 750);
    expect(liar((sound) => sound.writeUInt32LE(0, 28))).toBeCloseTo(320_044 / 750);
    expect(liar((sound) => sound.write('fmz ', 12, 'latin1'))).toBeCloseTo(320_044 / 750);
  });

  it('is the sum of the frames of an mp3, whatever its tag says', () => {
    const frameSeconds = 1_152 / 44_100;
    for (const pieceBytes of [417_000, 1_000, 5])
      expect(secondsOf('audio/mpeg', mp3(1_000), pieceBytes)).toBeCloseTo(1_000 * frameSeconds, 5);
    const tag = Buffer.from('ID3\x04\x00\x00\x00\x00\x07\x68', 'latin1');
    const tagged = Buffer.concat([tag, Buffer.alloc(1_000, 0xff), mp3(100)]);
    for (const pieceBytes of [tagged.length, 11]) {
      expect(secondsOf('audio/mpeg', tagged, pieceBytes)).toBeCloseTo(100 * frameSeconds, 5);
    }
    const behindJunk = Buffer.concat([mp3(3), Buffer.alloc(999), mp3(3)]);
    expect(secondsOf('audio/mpeg', behindJunk)).toBeCloseTo(6 * frameSeconds, 5);
    // A tag that hides all there is, and no frame at all.
    const hidden = Buffer.concat([Buffer.from('ID3\x04\x00\x00\x7f\x7f\x7f\x7f', 'latin1'), mp3(1_000)]);
    expect(secondsOf('audio/mpeg', hidden)).toBeCloseTo(hidden.length / 750);
    expect(secondsOf('audio/mpeg', Buffer.alloc(7_500))).toBe(10);
  });

  it('is the last position of an ogg, bounded by its packets on one side and by its bytes on the other', () => {
    const true30 = opus(30);
    for (const pieceBytes of [true30.length, 100, 13]) expect(secondsOf('audio/ogg', true30, pieceBytes)).toBe(30);
    const far = opus(30, () => 48_000n * 1_000_000n);
    expect(secondsOf('audio/ogg', far)).toBeCloseTo((30 * 50 + 1) * 0.12, 5);
    const near = opus(30, () => 1n);
    expect(secondsOf('audio/ogg', near)).toBeCloseTo(near.length / 64_000);
    // One behind the other.
    expect(secondsOf('audio/ogg', Buffer.concat([true30, opus(20)]))).toBe(50);
    const other = page(Buffer.from('\x7fFLAC\x01\x00'.padEnd(20, 'x'), 'latin1'), 0n, { first: true });
    expect(secondsOf('audio/ogg', other)).toBeCloseTo(other.length / 750);
  });

  it('is the sum of the packets of a WebM with Opus, and what nobody reads counts by its bytes', () => {
    const sound = webm(30);
    for (const pieceBytes of [sound.length, 100, 13])
      expect(secondsOf('audio/webm', sound, pieceBytes)).toBeCloseTo(30, 0);
    const hidden = Buffer.concat([webm(1), element([0xec], webm(100))]);
    expect(secondsOf('audio/webm', hidden)).toBeGreaterThan(100);
    const laced = webm(1, { blocks: [block(Buffer.concat([Buffer.from([9]), PACKET]), 0x82)] });
    expect(secondsOf('audio/webm', laced)).toBeCloseTo(10 * 0.12, 0);
    // Bytes that such short packets cannot have.
    const large = webm(1, { blocks: [block(Buffer.alloc(64_000, 0x80))] });
    expect(secondsOf('audio/webm', large)).toBeGreaterThan(1);
    for (const codec of ['A_VORBIS', 'V_VP8', ''])
      expect(secondsOf('audio/webm', webm(30, { codec }))).toBeCloseTo(webm(30, { codec }).length / 750);
    const packed = Buffer.concat([webm(1), element([0x6d, 0x80], Buffer.alloc(9))]);
    expect(secondsOf('audio/webm', packed)).toBeCloseTo(packed.length / 750);
  });

  it('is the sum of the frames of a FLAC, whatever its head says of its length', () => {
    const sound = flac(100);
    for (const pieceBytes of [sound.length, 100, 7])
      expect(secondsOf('audio/flac', sound, pieceBytes)).toBeCloseTo((100 * 4_096) / 16_000, 9);
    expect(secondsOf('audio/flac', flac(100, 10))).toBeCloseTo((100 * 4_096) / 48_000, 9);
    const broken = flac(100);
    for (let at = 47; at < broken.length; at += 46) broken[at]! ^= 1;
    expect(secondsOf('audio/flac', broken)).toBeCloseTo(broken.length / 750);
  });

  describe('of an MP4', () => {
    const of = (sound: Buffer, pieceBytes?: number): number => secondsOf('audio/mp4', sound, pieceBytes);
    const seconds = (packets: number, rate = 44_100): number => (packets * 1_024) / rate;
    const byBytes = (sound: Buffer): number => sound.length / 750;

    it('is exact, wherever its tables stand, in pieces of any size', () => {
      // Ten minutes: 4.6 MB, of which as many bytes at 750 a second would be 103 minutes.
      const phone = m4a({ packets: 25_840 });
      expect(phone.length).toBeGreaterThan(4_500_000);
      expect(of(phone, 32_768)).toBeCloseTo(600, 1);
      const short = { packets: 430 };
      for (const sound of [m4a(short), m4a(short, false)])
        for (const pieceBytes of [sound.length, 1_000, 7]) expect(of(sound, pieceBytes)).toBeCloseTo(seconds(430), 9);
    });

    it('is the sum of its fragments where its header says nothing', () => {
      for (const sound of [fragments(20, 47, 1_024), fragments(20, 47)])
        for (const pieceBytes of [sound.length, 1_000, 7])
          expect(of(sound, pieceBytes)).toBeCloseTo(seconds(940, 48_000), 9);
      // Packets that say they take nothing.
      expect(of(fragments(20, 47, 0))).toBeCloseTo(seconds(940, 48_000), 9);
      // A fragment of a track that no header has.
      const other = box('moof', box('traf', box('tfhd', words(0, 9)), box('trun', words(0, 50))));
      expect(of(Buffer.concat([fragments(1, 47), other]))).toBeCloseTo(seconds(47, 48_000), 9);
    });

    it('is no shorter than its packets, whatever its header or its table says, and as long as either says', () => {
      expect(of(m4a({ packets: 430, headerTicks: 1 }))).toBeCloseTo(seconds(430), 9);
      expect(of(m4a({ packets: 430, headerTicks: 1, tableTicks: 430 }))).toBeCloseTo(seconds(430), 9);
      expect(of(m4a({ packets: 430, headerTicks: 44_100 * 99 }))).toBeCloseTo(99, 9);
      expect(of(m4a({ packets: 430, headerTicks: 1, tableTicks: 44_100 * 99 }))).toBeCloseTo(99, 0);
      // A rate that is too high, in one place.
      const short = { packets: 430, headerTicks: 1, tableTicks: 430 };
      expect(of(m4a({ ...short, rateIndex: 0 }))).toBeCloseTo(seconds(430), 9);
      expect(of(m4a({ ...short, rate: 48_000 }))).toBeCloseTo(seconds(430), 9);
      // A few packets that are as large as many, and edits that play the same again.
      const large = [box('stts', words(0, 1, 1, 1_024)), box('stsz', words(0, 4_000_000, 1))];
      expect(of(Buffer.concat([ftyp(), box('moov', track({}, 1, large)), media(9)]))).toBe(100);
      const again = box('edts', box('elst', words(0, 3, ...[1, 2, 3].flatMap(() => [44_100, 0, 65_536]))));
      const edited = box('moov', header('mvhd', 44_100, 1), track({ more: again }, 1, [box('stsz', words(0, 1, 40))]));
      expect(of(Buffer.concat([ftyp(), edited]))).toBe(3);
      // An index of fragments: one of two seconds, and one of a further index.
      const index = box('sidx', words(0, 1, 1_000, 0, 0, 2, 99, 2_000, 0, 0x8000_0063, 9_000, 0));
      expect(of(Buffer.concat([fragments(1, 1), index]))).toBe(2);
    });

    it('is that of its sound beside a video, and of its slowest description', () => {
      const video = track({ codec: 'avc1', handler: 'vide', rate: 600 }, 6_000, [box('stsz', words(0, 9, 1_800))]);
      const both = box('moov', header('mvhd', 600, 6_000), video, moov({ packets: 430 }).subarray(8));
      expect(of(Buffer.concat([ftyp(), both, media(430)]))).toBeCloseTo(10, 9);
    });

    it('is by its bytes where nobody can tell', () => {
      const hidden = box('udta', moov({ packets: 9_000 }));
      for (const sound of [
        m4a({ packets: 430, codec: 'samr' }),
        // A handler that lies makes no sound of a codec that nobody knows measurable.
        Buffer.concat([ftyp(), media(430)]),
        Buffer.concat([m4a({ packets: 4 }), hidden]),
        Buffer.concat([m4a({ packets: 4 }), box('free', hidden)]),
        // Larger than what holds it, shorter than its own head, and too many tracks.
        Buffer.concat([m4a({ packets: 4 }), box('moov', words(999), Buffer.from('free')), media(430)]),
        Buffer.concat([m4a({ packets: 4 }), words(7), Buffer.from('free'), media(430)]),
        Buffer.concat([ftyp(), box('moov', ...Array.from({ length: 65 }, () => track({}, 1, [])))]),
        Buffer.concat([m4a({ packets: 4 }), ...Array.from({ length: 65 }, (_, id) => box('trex', words(0, id)))]),
        Buffer.concat([m4a({ packets: 4 }), ...Array.from({ length: 65 }, (_, id) => box('tkhd', words(0, 0, 0, id)))]),
        Buffer.concat([m4a({ packets: 4 }), nested(17)]),
      ])
        for (const pieceBytes of [sound.length, 5]) expect(of(sound, pieceBytes)).toBeCloseTo(byBytes(sound), 9);
    });

    it('is read once, however many entries a table says that it has', () => {
      const endless = box('stts', words(0, 0xffff_ffff, 1, 1_024), Buffer.alloc(80_000));
      const liar = box('moov', track({}, 1, [endless, box('stsz', words(0, 0, 0xffff_ffff, 180))]), Buffer.alloc(3));
      expect(of(Buffer.concat([ftyp(), liar]))).toBeCloseTo(seconds(0xffff_ffff), 0);
    });
  });

  it('is at most by bytes where nobody reads the container', () => {
    for (const type of ['audio/flac', 'audio/mp4', 'audio/webm']) expect(secondsOf(type, Buffer.alloc(7_500))).toBe(10);
  });

  it('is, of an MP4 with any bytes changed, a number, and the same in any pieces', () => {
    const sounds = [m4a({ packets: 5 }, false), fragments(2, 3, 1_024), fragments(2, 3)];
    const change = fc.tuple(fc.nat(), fc.oneof(fc.constantFrom(0, 1, 0x7f, 0x80, 0xff), fc.nat(255)));
    fc.assert(
      fc.property(
        fc.constantFrom(...sounds),
        fc.array(change, { maxLength: 9 }),
        fc.nat(99),
        (sound, changes, piece) => {
          const changed = Buffer.from(sound);
          for (const [at, value] of changes) changed[at % changed.length] = value;
          const whole = secondsOf('audio/mp4', changed);
          expect(Number.isFinite(whole) && whole > 0).toBe(true);
          expect(secondsOf('audio/mp4', changed, piece + 1)).toBe(whole);
        },
      ),
      { numRuns: 2_000 },
    );
  });

  it('is, of an MP4, never shorter than its packets, whatever its lengths say', () => {
    const word = fc.oneof(fc.constantFrom(0, 1, 0xffff_ffff), fc.nat(0xffff_ffff));
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 50 }), word, word, fc.boolean(), (packets, headerTicks, delta, last) => {
        const sound = m4a({ packets, headerTicks, tableTicks: Math.min(0xffff_ffff, delta) * packets }, last);
        expect(secondsOf('audio/mp4', sound)).toBeGreaterThanOrEqual((packets * 1_024) / 44_100);
      }),
    );
  });

  it('is a number of any bytes, and the same in any pieces', () => {
    const types = fc.constantFrom('audio/wav', 'audio/mpeg', 'audio/ogg', 'audio/mp4', 'audio/webm', 'audio/flac');
    const sound = fc
      .array(
        fc.oneof(
          fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes)),
          fc.constantFrom(
            mp3(2),
            opus(1),
            wav(0.01),
            webm(1),
            flac(3),
            m4a({ packets: 3 }),
            m4a({ packets: 3 }, false),
            fragments(2, 3, 1_024),
            moov({ packets: 2 }).subarray(0, 90),
            box('moov'),
            Buffer.from('OggS'),
            Buffer.from([0xff, 0xfb]),
            Buffer.from('ID3'),
          ),
        ),
        { maxLength: 6 },
      )
      .map((parts) => Buffer.concat([...parts, Buffer.from([0])]));
    fc.assert(
      fc.property(types, sound, fc.integer({ min: 1, max: 700 }), (type, bytes, pieceBytes) => {
        const whole = secondsOf(type, bytes);
        expect(Number.isFinite(whole) && whole >= 0).toBe(true);
        expect(secondsOf(type, bytes, pieceBytes)).toBeCloseTo(whole, 9);
      }),
      { numRuns: 300 },
    );
  });
});
