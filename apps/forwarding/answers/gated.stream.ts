import { errorAnswer } from '#libs/contracts/answers.js';
import type { DaypassError } from '#libs/contracts/errors.js';
import type { VerdictWord } from '#libs/contracts/jobs.js';
import type { Reply, ReplyMeta } from '#libs/contracts/reply.js';
import type { Content, Replacement } from '#libs/endpoints/content.js';
import type { AnswerReader, Frame, ProviderVerdict, Shown } from '#libs/endpoints/endpoint.js';
import type { Settlement } from '../domain/settlement.js';
import type { Answered, Judgeable } from './answered.js';
import type { ShownStream } from './shown.stream.js';

interface GatedParts {
  reader: AnswerReader;
  /** Filled while the stream is read. */
  provider: readonly ProviderVerdict[];
  contents: () => readonly Content[];
  shelve: () => Promise<void>;
  blocked: (categories: readonly string[]) => Shown;
}

/**
 * A stream whose frames wait until the guards have judged all of it. So its head can still tell verdict and cost. Where
 * that takes long, its visitor sees the first frames, as far as there is nothing to judge in them.
 */
export class GatedStream implements Judgeable {
  private readonly frames: string[] = [];
  /** So many frames come before the first one that has something to judge. */
  private leading = 0;
  /** So many of them went out. */
  private ahead = 0;

  constructor(
    private readonly stream: ShownStream,
    private readonly source: GatedParts,
  ) {}

  get contents(): readonly Content[] {
    return this.source.contents();
  }

  get provider(): readonly ProviderVerdict[] {
    return this.source.provider;
  }

  add({ text, texts, images = [], provider, closing }: Frame): void {
    const isSilent = texts.length === 0 && images.length === 0 && provider.length === 0 && !closing;
    if (isSilent && this.leading === this.frames.length) this.leading++;
    this.frames.push(text);
  }

  /** Shows the first frames; nothing before there is one. */
  openEarly(): void {
    if (this.leading === 0) return;
    this.ahead = this.leading;
    // `flush` tells later what was lost.
    void this.stream.open().catch(() => undefined);
    for (const frame of this.frames.slice(0, this.ahead)) this.stream.send(frame);
  }

  pass(redactions: readonly Replacement[]): boolean {
    this.stream.stop();
    const waiting = this.frames.slice(this.ahead);
    const frames = redactions.length > 0 ? this.source.reader.redacted(waiting, redactions) : waiting;
    for (const frame of frames ?? []) this.stream.show(frame);
    return frames !== null;
  }

  block(categories: readonly string[]): void {
    this.stream.end({ kind: 'blocked', categories }, this.source.reader.report.metered);
  }

  shelve(): Promise<void> {
    return this.source.shelve();
  }

  async reply(settlement: Settlement, word: VerdictWord): Promise<Pick<Answered, 'reply' | 'kept'>> {
    if (!this.stream.opened || (await this.stream.flushed())) return this.stream.reply(settlement, word);
    return { reply: await this.stream.lost() };
  }

  failed(error: DaypassError, meta: ReplyMeta): Promise<Reply> {
    return this.stream.opened ? this.stream.broken(error, true) : Promise.resolve(errorAnswer(error, meta));
  }

  blocked(categories: readonly string[]): Shown {
    return this.source.blocked(categories);
  }
}
