import { errorAnswer } from '#libs/contracts/answers.js';
import type { DaypassError } from '#libs/contracts/errors.js';
import type { VerdictWord } from '#libs/contracts/jobs.js';
import type { Reply, ReplyMeta } from '#libs/contracts/reply.js';
import type { Content, Replacement } from '#libs/endpoints/content.js';
import type { AnswerReader, ProviderVerdict, Shown, Whole } from '#libs/endpoints/endpoint.js';
import type { ShelfStore } from '#libs/shelf/shelf.store.js';
import type { Settlement } from '../domain/settlement.js';
import { wholeReplies, type Answered, type Answering, type Judgeable } from './answered.js';

/** An answer in one piece on its way to its visitor. */
export class WholeAnswer implements Judgeable {
  readonly contents: readonly Content[];
  readonly parts: Whole['parts'];
  readonly provider: readonly ProviderVerdict[];
  private shown: Shown | null = null;

  constructor(
    private readonly call: Answering,
    private readonly reader: AnswerReader,
    private readonly whole: Whole,
    private readonly shelf: Pick<ShelfStore, 'put'>,
  ) {
    this.contents = whole.contents;
    this.parts = whole.parts;
    this.provider = whole.provider;
  }

  pass(redactions: readonly Replacement[], without?: ReadonlySet<number>): boolean {
    this.shown = this.whole.shown(redactions, without);
    return this.shown !== null;
  }

  block(categories: readonly string[]): void {
    this.shown = this.whole.blocked(categories);
  }

  async shelve(): Promise<void> {
    const record = this.reader.shelved?.();
    if (!record || (await this.shelf.put(this.call.ticket, record)) === 'stored') return;
    const { contentType, body } = this.shown!;
    this.shown = { contentType, body: this.reader.unshelved!(body as string) };
  }

  reply(settlement: Settlement, word: VerdictWord): Promise<Pick<Answered, 'reply' | 'pieces'>> {
    return Promise.resolve(wholeReplies(this.call, settlement, this.shown!, word));
  }

  failed(error: DaypassError, meta: ReplyMeta): Promise<Reply> {
    return Promise.resolve(errorAnswer(error, meta));
  }

  blocked(): Shown {
    return this.shown!;
  }
}
