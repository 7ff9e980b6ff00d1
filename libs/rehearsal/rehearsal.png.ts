import { png } from './png.js';
import { FLAGGED_PHRASE } from './rehearsal.moderation.js';

export interface Drawing {
  width: number;
  height: number;
  /** The same words give the same picture. */
  seed: string;
  /** The moderation of the rehearsal flags it. */
  flagged?: boolean;
  /** So many bytes more, for a picture that has to be large. */
  padding?: number;
}

export function drawPng({ width, height, seed, flagged = false, padding = 0 }: Drawing): Buffer {
  let hash = 2_166_136_261;
  for (let at = 0; at < seed.length; at++) hash = Math.imul(hash ^ seed.charCodeAt(at), 16_777_619) >>> 0;
  return png(width, height, hash, `${flagged ? FLAGGED_PHRASE : ''}${'x'.repeat(padding)}`);
}
