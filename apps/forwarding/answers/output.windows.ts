import type { Content, FrameText } from '#libs/endpoints/content.js';
import { framesReplaced } from '#libs/moderation/chat-contents.js';
import { PieceCutter, type Piece } from '#libs/moderation/piece-cutter.js';
import type { OutputVerdict } from './output.gate.js';

/** A verdict that ends the stream. */
export type Stop = Extract<OutputVerdict, { word: 'blocked' | 'unavailable' }>;

export interface WindowsOptions {
  /** `window`: each piece is shown after its verdict. `trail`: at once, and never far ahead of the verdicts. */
  mode: 'window' | 'trail';
  judge: (contents: readonly Content[]) => Promise<OutputVerdict>;
  /** Whether something beside the text waits for a verdict. */
  hasMore: () => boolean;
  show: (frame: string) => void;
  /** Told at once, while the upstream may be silent. */
  onStop: () => void;
}

/** Characters that may be shown before their verdict (`trail`). */
const AHEAD_CHARACTERS = 1_000;
/** Text that waits for verdicts; beyond it the upstream is not read any further. */
const WAITING_CHARACTERS = 65_536;
const PASSED: OutputVerdict = { word: 'pass' };

/**
 * Judges a stream piece by piece while it comes. One piece is under judgement at a time; what arrives meanwhile makes the
 * next one, so that a slow endpoint costs larger pieces, not more waiting. Nothing is shown out of order, and nothing after
 * a verdict that stops the stream.
 */
export class OutputWindows {
  private readonly cutter = new PieceCutter();
  private judging: Promise<void> | null = null;
  private failure: Error | null = null;
  /** Of `trail`: frames that would be too far ahead, and the characters that were shown and judged. */
  private held: { frame: string; characters: number; closing: boolean }[] = [];
  private shown = 0;
  private judged = 0;
  private words = new Set<'pass' | 'redacted' | 'unchecked'>();
  /** What ended the stream. */
  stopped: Stop | null = null;

  constructor(private readonly options: WindowsOptions) {}

  /** What became of all that was shown. */
  get word(): 'pass' | 'redacted' | 'unchecked' {
    return this.words.has('unchecked') ? 'unchecked' : this.words.has('redacted') ? 'redacted' : 'pass';
  }

  /**
   * Returns whether it is full, so that `room` is to be waited for. `closing`: the frame says how a choice, or the stream, ended.
   * @throws what kept a verdict, or the visitor, from being reached
   */
  add(frame: string, texts: readonly FrameText[], closing = false): boolean {
    if (this.stopped) return false;
    this.cutter.add(frame, texts);
    if (this.options.mode === 'trail') {
      this.held.push({ frame, characters: texts.reduce((sum, { text }) => sum + text.length, 0), closing });
      this.showAhead();
    }
    this.pump();
    if (this.failure) throw this.failure;
    return this.isFull;
  }

  /** Resolves when there is room for more. @throws as `add` */
  async room(): Promise<void> {
    while (this.isFull) await this.judging;
    if (this.failure) throw this.failure;
  }

  /** Resolves when everything has its verdict, or one stopped the stream. What is left is judged beside the piece before it. */
  async finish(): Promise<void> {
    const rest = this.stopped ? null : this.cutter.take(true);
    const verdict = rest && this.verdictOn(rest);
    await this.judging;
    if (rest && !this.stopped && !this.failure) await this.settle(rest, verdict);
    if (this.failure) throw this.failure;
  }

  private get isFull(): boolean {
    return this.cutter.characters > WAITING_CHARACTERS && this.judging !== null;
  }

  private pump(): void {
    while (!this.judging && !this.stopped && !this.failure) {
      const piece = this.cutter.take();
      if (!piece) return;
      if (this.isSilent(piece)) this.release(piece);
      else this.judging = this.judge(piece);
    }
  }

  private async judge(piece: Piece): Promise<void> {
    await this.settle(piece, this.verdictOn(piece));
    this.judging = null;
    this.pump();
  }

  /** null where there is nothing to judge. */
  private verdictOn(piece: Piece): Promise<OutputVerdict> | null {
    if (this.isSilent(piece)) return null;
    const verdict = this.options.judge(piece.contents);
    // It is looked at when its turn comes.
    verdict.catch(() => undefined);
    return verdict;
  }

  private isSilent({ contents }: Piece): boolean {
    return contents.length === 0 && !this.options.hasMore();
  }

  private async settle(piece: Piece, pending: Promise<OutputVerdict> | null): Promise<void> {
    try {
      const verdict = (await pending) ?? PASSED;
      if (verdict.word === 'blocked' || verdict.word === 'unavailable') {
        this.stopped = verdict;
        this.options.onStop();
        return;
      }
      this.words.add(verdict.word);
      this.release(verdict.redactions ? { ...piece, frames: framesReplaced(piece.frames, verdict.redactions) } : piece);
    } catch (error) {
      this.failure = error instanceof Error ? error : new Error(String(error));
    }
  }

  private release({ frames, characters }: Piece): void {
    if (this.options.mode === 'window') {
      for (const frame of frames) this.options.show(frame);
      return;
    }
    this.judged += characters;
    this.showAhead();
  }

  private showAhead(): void {
    while (this.held.length > 0 && !this.stopped) {
      const { frame, characters, closing } = this.held[0]!;
      // Why a choice ended is for the last verdict to say.
      if (closing && this.shown > this.judged) return;
      if (this.shown + characters - this.judged > AHEAD_CHARACTERS) return;
      this.held.shift();
      this.shown += characters;
      this.options.show(frame);
    }
  }
}
