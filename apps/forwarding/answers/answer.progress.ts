import { StreamTexts, type FrameText } from '#libs/endpoints/content.js';
import type { CutAnswer } from '../domain/settlement.js';
import type { ReplyWriter } from './reply.writer.js';

/** An answer on its way, in as far as a failure in the middle of it must know: what was generated, and what was shown. */
export class Progress {
  readonly texts = new StreamTexts();
  /** Set once something of a stream was shown, so that an error can only follow in the stream. */
  writer: ReplyWriter | null = null;
  private chunks = 0;
  private readonly begunMs = performance.now();
  private silentMs: number | null = null;

  /** Of one chunk. */
  add(texts: readonly FrameText[]): void {
    this.texts.add(texts);
    this.chunks++;
    if (this.silentMs === null && !this.texts.isEmpty) this.silentMs = performance.now() - this.begunMs;
  }

  /** How far the answer came until now, for its bill. A model may have reasoned until there was something to see. */
  async cut({ hungUp }: { hungUp: boolean }): Promise<CutAnswer> {
    const elapsedMs = performance.now() - this.begunMs;
    const unseenMs = this.silentMs ?? elapsedMs;
    // The larger of what the text counts and the number of chunks, each at least a token.
    const seenTokens = Math.max(this.chunks, await countOutput(this.texts.texts()));
    return { seenTokens, unseenMs, flowingMs: elapsedMs - unseenMs, hungUp };
  }
}

/** The tokenizer's tables weigh 64 MB, so a worker loads them only when an upstream really left the usage out. */
export async function countOutput(texts: string[]): Promise<number> {
  const { countTextTokens } = await import('#libs/money/tokens.js');
  return countTextTokens(texts);
}
