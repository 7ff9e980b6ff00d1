import { describe, expect, it } from '@jest/globals';
import { crc32, inflateSync } from 'node:zlib';
import { png } from './png.js';
import { wav } from './wav.js';

/** The chunks of a picture, each with a checksum that is right. */
function chunksOf(picture: Buffer): Map<string, Buffer> {
  const chunks = new Map<string, Buffer>();
  for (let at = 8; at < picture.length;) {
    const length = picture.readUInt32BE(at);
    const named = picture.subarray(at + 4, at + 8 + length);
    expect(picture.readUInt32BE(at + 8 + length)).toBe(crc32(named));
    chunks.set(named.toString('latin1', 0, 4), named.subarray(4));
    at += 12 + length;
  }
  return chunks;
}

describe('a drawn picture', () => {
  it('is a PNG of its size, with all its lines', () => {
    const picture = png(30, 20, 7);
    expect(picture.toString('latin1', 0, 8)).toBe('\x89PNG\r\n\x1a\n');
    const chunks = chunksOf(picture);
    expect([...chunks.keys()]).toEqual(['IHDR', 'IDAT', 'IEND']);
    const head = chunks.get('IHDR')!;
    expect([head.readUInt32BE(0), head.readUInt32BE(4), ...head.subarray(8)]).toEqual([30, 20, 8, 2, 0, 0, 0]);
    const lines = inflateSync(chunks.get('IDAT')!);
    expect(lines).toHaveLength(20 * (1 + 3 * 30));
    for (let y = 0; y < 20; y++) expect(lines[y * 91]).toBe(0);
    expect(new Set(lines).size).toBeGreaterThan(30);
  });

  it('is the same for the same seed, another for another one, and small', () => {
    expect(png(64, 64, 1)).toEqual(png(64, 64, 1));
    expect(png(64, 64, 1)).not.toEqual(png(64, 64, 2));
    expect(png(1_536, 1_024, 3).length).toBeLessThan(40_000);
  });
});

describe('a spoken sound', () => {
  it('is a WAV of its length that can be heard', () => {
    const sound = wav(0.5);
    expect(sound).toHaveLength(44 + 16_000);
    expect([sound.toString('latin1', 0, 4), sound.toString('latin1', 8, 16)]).toEqual(['RIFF', 'WAVEfmt ']);
    expect([sound.readUInt32LE(4), sound.readUInt32LE(28), sound.readUInt32LE(40)]).toEqual([16_036, 32_000, 16_000]);
    const samples = Array.from({ length: 8_000 }, (_, index) => sound.readInt16LE(44 + 2 * index));
    expect(Math.max(...samples)).toBeGreaterThan(7_000);
    expect(Math.min(...samples)).toBeLessThan(-7_000);
    expect(wav(0.5)).toEqual(sound);
  });
});
