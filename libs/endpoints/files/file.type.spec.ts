import { describe, expect, it } from '@jest/globals';
import { png } from '#libs/rehearsal/png.js';
import { wav } from '#libs/rehearsal/wav.js';
import { fileTypeOf, sentNameOf } from './file.type.js';

const bytes = (text: string): Buffer => Buffer.from(text, 'latin1');

describe('the type of a file', () => {
  it.each([
    ['image/png', png(8, 8, 1)],
    ['image/jpeg', bytes('\xff\xd8\xff\xe0\x00\x10JFIF')],
    ['image/webp', bytes('RIFF\x10\x00\x00\x00WEBPVP8 ')],
    ['image/gif', bytes('GIF89a\x01\x00')],
    ['audio/flac', bytes('fLaC\x00\x00\x00\x22')],
    ['audio/wav', wav(0.1)],
    ['audio/ogg', bytes('OggS\x00\x02')],
    ['audio/mp4', bytes('\x00\x00\x00\x20ftypM4A ')],
    ['audio/webm', bytes('\x1aE\xdf\xa3\x01')],
    ['audio/mpeg', bytes('ID3\x04\x00\x00')],
    ['audio/mpeg', bytes('\xff\xfb\x90\x64')],
    ['audio/mpeg', bytes('\xff\xf3\x40\xc0')],
  ])('is %s by its first bytes', (type, head) => expect(fileTypeOf(head)).toBe(type));

  it.each([
    ['a text', bytes('Hello, ID3 and OggS')],
    ['a document', bytes('%PDF-1.7\n')],
    ['an archive', bytes('PK\x03\x04')],
    ['a drawing', bytes('<svg xmlns="http://www.w3.org/2000/svg">')],
    ['a RIFF that is neither', bytes('RIFF\x10\x00\x00\x00AVI LIST')],
    ['sound without a container (AAC)', bytes('\xff\xf1\x50\x80')],
    ['nothing', bytes('')],
    ['the begin of a signature', bytes('\x89PN')],
  ])('is unknown of %s', (_, head) => expect(fileTypeOf(head)).toBe(''));

  it('decides what the file is called upstream', () => {
    expect(sentNameOf('audio/mpeg')).toBe('file.mp3');
    expect(sentNameOf('image/jpeg')).toBe('file.jpg');
    expect(sentNameOf('')).toBe('file.bin');
  });
});
