import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { wav } from '#libs/rehearsal/wav.js';
import { audioLengthOf } from './audio.length.js';

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

  it('is at most by bytes where nobody reads the container', () => {
    for (const type of ['audio/flac', 'audio/mp4', 'audio/webm']) expect(secondsOf(type, Buffer.alloc(7_500))).toBe(10);
  });

  it('is a number of any bytes, and the same in any pieces', () => {
    const types = fc.constantFrom('audio/wav', 'audio/mpeg', 'audio/ogg', 'audio/mp4');
    const sound = fc
      .array(
        fc.oneof(
          fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes)),
          fc.constantFrom(
            mp3(2),
            opus(1),
            wav(0.01),
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
