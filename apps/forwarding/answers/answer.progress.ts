import type { DaypassError } from '#libs/contracts/errors.js';
import type { Encoding } from '#libs/contracts/jobs.js';
import type { Reply } from '#libs/contracts/reply.js';
import { StreamTexts, type Content, type FrameText } from '#libs/endpoints/content.js';
import type { AnswerReader } from '#libs/endpoints/endpoint.js';
import { countTextTokens } from '#libs/money/tokens.js';
import type { CutAnswer } from '../domain/settlement.js';

/** An answer that the visitor sees as it comes, so that an error can only follow in it, or break it off. */
export interface ShownAnswer {
  readonly opened: boolean;
  /** The reply that ends it. `charged`: the visitor pays for the call. */
  broken(error: DaypassError, charged: boolean): Promise<Reply>;
}

/**
 * What a failure in the middle of an answer must know: what the model generated, and whether the visitor saw any of it.
 */
export class Progress {
  readonly texts = new StreamTexts();
  /** null: the visitor sees nothing before all of it is there. */
  shown: ShownAnswer | null = null;
  /** Knows what the answer said of its cost until now, also where it failed. */
  reader: Pick<AnswerReader, 'report' | 'cut'> | null = null;
  private readonly images: Content[] = [];
  private chunks = 0;
  private readonly startedMs = performance.now();
  private silentMs: number | null = null;

  /** Adds the texts of one chunk, if it has any, and images that are judged later. */
  add(texts: readonly FrameText[], images: readonly Content[] = []): void {
    this.texts.add(texts);
    this.images.push(...images);
    if (texts.some(({ beside }) => !beside)) this.chunks++;
    if (this.silentMs === null && !this.texts.isEmpty) this.silentMs = performance.now() - this.startedMs;
  }

  contents(): Content[] {
    return [...this.texts.contents(), ...this.images];
  }

  /** How far the answer came until now, for its cost. A model may have reasoned before its first visible token. */
  async cut({ encoding }: { encoding?: Encoding | undefined }, { hungUp }: { hungUp: boolean }): Promise<CutAnswer> {
    const elapsedMs = performance.now() - this.startedMs;
    const unseenMs = this.silentMs ?? elapsedMs;
    // Each chunk of text has at least one token, whatever the tokenizer counts.
    const seenTokens = Math.max(this.chunks, await countOutput(this.texts.texts(), encoding));
    return { seenTokens, unseenMs, flowingMs: elapsedMs - unseenMs, hungUp };
  }
}

/** A worker loads the tables of a tokenizer only when an upstream really left the usage out. */
export function countOutput(texts: readonly string[], encoding: Encoding = 'o200k_base'): Promise<number> {
  return countTextTokens(texts, encoding);
}
