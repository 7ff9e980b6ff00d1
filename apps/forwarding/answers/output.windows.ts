import type { Content, Replacement } from '#libs/endpoints/content.js';
import type { Frame } from '#libs/endpoints/endpoint.js';
import { PieceCutter, type Piece } from '#libs/moderation/piece-cutter.js';
import type { OutputVerdict } from './output.gate.js';

/** A verdict that ends the stream. */
export type Stop = Extract<OutputVerdict, { word: 'blocked' | 'unavailable' }>;

export interface WindowsOptions {
  /** `window`: the visitor sees each piece after its verdict. `trail`: at once, but never far ahead of the verdicts. */
  mode: 'window' | 'trail';
  verdictOn: (contents: readonly Content[]) => Promise<OutputVerdict>;
  /** Whether something beside the text waits for a verdict. */
  hasMore: () => boolean;
  /** null: a guard found something that nobody can take out of these frames. */
  redact: (frames: readonly string[], redactions: readonly Replacement[]) => readonly string[] | null;
  show: (frame: string) => void;
  /** Called at once when a verdict stops the stream: the upstream may be silent, so that no frame comes. */
  onStop: () => void;
}

/** So many characters the visitor may see before their verdict (`trail`). */
const AHEAD_CHARACTERS = 1_000;
/** While more text than this waits for verdicts, forwarding does not read on from the upstream. */
const WAITING_CHARACTERS = 65_536;
const PASSED: OutputVerdict = { word: 'pass' };

/**
 * Judges a stream piece by piece while it comes. The guards judge one piece at a time, and the frames that arrive
 * meanwhile make the next. So a slow endpoint costs larger pieces, not more waiting. The visitor sees all frames in
 * order, and none after a verdict that stops the stream.
 */
export class OutputWindows {
  private readonly cutter = new PieceCutter();
  private judging: Promise<void> | null = null;
  private failure: Error | null = null;
  /** What was taken out once may stand in later pieces that have nothing new to judge. */
  private redacts = false;
  /** Under `trail`: frames that are too far ahead of the verdicts to be shown. */
  private tooFarAhead: { frame: string; characters: number; waits: boolean; number: number }[] = [];
  /** Under `trail`: how many frames came, and how many of them have passed. */
  private added = 0;
  private passed = 0;
  /** Under `trail`: how many characters the visitor has seen, and how many of them passed. */
  private shown = 0;
  private judged = 0;
  private words = new Set<'pass' | 'redacted' | 'unchecked'>();
  /** The verdict that stopped the stream. */
  stopped: Stop | null = null;

  constructor(private readonly options: WindowsOptions) {}

  /** The verdict on all that the visitor saw. */
  get word(): 'pass' | 'redacted' | 'unchecked' {
    return this.words.has('unchecked') ? 'unchecked' : this.words.has('redacted') ? 'redacted' : 'pass';
  }

  /**
   * Returns whether too much waits for verdicts, so that the caller awaits `drained`.
   * @throws the error that kept a guard from its verdict, or a frame from the visitor
   */
  add({ text: frame, texts, images = [], closing }: Pick<Frame, 'text' | 'texts' | 'images' | 'closing'>): boolean {
    if (this.stopped) return false;
    this.cutter.add(frame, texts, images);
    if (this.options.mode === 'trail') {
      const characters = texts.reduce((sum, { text }) => sum + text.length, 0);
      const waits = closing || images.length > 0;
      this.tooFarAhead.push({ frame, characters, waits, number: this.added++ });
      this.showAhead();
    }
    this.pump();
    if (this.failure) throw this.failure;
    return this.isFull;
  }

  /** Resolves when more frames may come. @throws as `add` */
  async drained(): Promise<void> {
    while (this.isFull) await this.judging;
    if (this.failure) throw this.failure;
  }

  /**
   * Resolves when every frame has its verdict, or one stopped the stream. The guards judge the last pieces at once.
   */
  async finish(): Promise<void> {
    const rest = this.rest().map((piece) => ({ piece, verdict: this.pendingVerdict(piece) }));
    await this.judging;
    for (const { piece, verdict } of rest) if (!this.stopped && !this.failure) await this.settle(piece, verdict);
    if (this.failure) throw this.failure;
  }

  /** One piece, or one for each frame with an image and for what stands between them. */
  private rest(): Piece[] {
    const pieces: Piece[] = [];
    for (let piece = this.stopped ? null : this.cutter.take(true); piece; piece = this.cutter.take(true))
      pieces.push(piece);
    return pieces;
  }

  private get isFull(): boolean {
    return this.cutter.characters > WAITING_CHARACTERS && this.judging !== null;
  }

  private pump(): void {
    while (!this.judging && !this.stopped && !this.failure) {
      const piece = this.cutter.take();
      if (!piece) return;
      if (this.isSilent(piece)) this.release(piece);
      else this.judging = this.judgeNext(piece);
    }
  }

  private async judgeNext(piece: Piece): Promise<void> {
    await this.settle(piece, this.pendingVerdict(piece));
    this.judging = null;
    this.pump();
  }

  /** Asks for the verdict; null where the piece has nothing to judge. */
  private pendingVerdict(piece: Piece): Promise<OutputVerdict> | null {
    if (this.isSilent(piece)) return null;
    const verdict = this.options.verdictOn(piece.contents);
    // `settle` awaits it later: until then a failure must not count as an unhandled one.
    verdict.catch(() => undefined);
    return verdict;
  }

  private isSilent({ contents }: Piece): boolean {
    return contents.length === 0 && !this.options.hasMore();
  }

  private async settle(piece: Piece, pending: Promise<OutputVerdict> | null): Promise<void> {
    try {
      const verdict = (await pending) ?? PASSED;
      if (verdict.word === 'blocked' || verdict.word === 'unavailable') return this.stop(verdict);
      const redactions = verdict.redactions ?? [];
      this.redacts ||= redactions.length > 0;
      const frames = this.redacts ? this.options.redact(piece.frames, redactions) : piece.frames;
      if (frames === null) return this.stop({ word: 'blocked' });
      this.words.add(verdict.word);
      this.release({ frames, characters: piece.characters });
    } catch (error) {
      this.failure = error instanceof Error ? error : new Error(String(error));
    }
  }

  private stop(verdict: Stop): void {
    this.stopped = verdict;
    this.options.onStop();
  }

  private release({ frames, characters }: { frames: readonly string[]; characters: number }): void {
    if (this.options.mode === 'window') {
      for (const frame of frames) this.options.show(frame);
      return;
    }
    this.judged += characters;
    this.passed += frames.length;
    this.showAhead();
  }

  private showAhead(): void {
    while (this.tooFarAhead.length > 0 && !this.stopped) {
      const { frame, characters, waits, number } = this.tooFarAhead[0]!;
      // The last verdict decides how the visitor sees the output end. What ends it may itself have something to judge.
      // Nobody can take an image out of a visitor's sight.
      if (waits && number >= this.passed) return;
      if (this.shown + characters - this.judged > AHEAD_CHARACTERS) return;
      this.tooFarAhead.shift();
      this.shown += characters;
      this.options.show(frame);
    }
  }
}
