import { describe, expect, it } from '@jest/globals';
import { srt, vtt } from './subtitles.js';

const CUES = [
  { start: 0, end: 1.5, text: ' Hello there.' },
  { start: 3_599.9996, end: 3_661.25, text: ' It is --> late. ' },
];

describe('subtitles', () => {
  it('are written as Whisper writes them', () => {
    expect(srt(CUES)).toBe(
      '1\n00:00:00,000 --> 00:00:01,500\nHello there.\n\n2\n01:00:00,000 --> 01:01:01,250\nIt is -> late.\n\n',
    );
    expect(vtt(CUES)).toBe(
      'WEBVTT\n\n00:00:00.000 --> 00:00:01.500\nHello there.\n\n01:00:00.000 --> 01:01:01.250\nIt is -> late.\n\n',
    );
  });

  it('of nothing are empty', () => {
    expect(srt([])).toBe('');
    expect(vtt([])).toBe('WEBVTT\n\n');
  });
});
