import { replacedIn, type Replacement } from '#libs/endpoints/content.js';
import { ENDPOINTS } from '#libs/endpoints/registry.js';
import type { AnswerOf, AnswerReader, Endpoint, Ending, Frame, Report, Whole } from '#libs/endpoints/endpoint.js';
import type { Shelved } from '#libs/endpoints/shelved.js';
import type { Metered } from '#libs/money/cost.js';

/** An event of the fixture: `t` is text, `last` ends the stream. */
export interface NumberedEvent {
  t?: string;
  last?: boolean;
  usage?: Metered;
}

/** Reads the streams of an API whose events have numbers. The last event may hold text, and a key may name the answer. */
class NumberedReader implements AnswerReader {
  readonly report: Report = { metered: null, serviceTier: undefined, model: undefined };
  done = false;
  private shown: string[] = [];
  private failed = false;

  constructor(private readonly of: AnswerOf) {}

  whole(bytes: Uint8Array): Whole {
    const { t, usage } = JSON.parse(Buffer.from(bytes).toString()) as NumberedEvent;
    this.report.metered = usage ?? null;
    const say = (text: string) => {
      this.shown = [text];
      return { contentType: 'application/json', body: JSON.stringify({ t: text, store: true }) };
    };
    return {
      contents: [{ kind: 'text', text: t! }],
      provider: [],
      seen: [t!],
      shown: () => say(t!),
      blocked: () => say('blocked'),
    };
  }

  event({ data }: { data: string }): readonly Frame[] {
    const { t, last = false, usage } = JSON.parse(data) as NumberedEvent;
    if (usage) this.report.metered = usage;
    this.done = last;
    return [frameOf(`${t ?? 'begun'}${last ? ' last store' : ''}`, t, last)];
  }

  end(): readonly Frame[] {
    if (!this.done) throw new Error('the stream ended before its last frame');
    return [];
  }

  redacted(frames: readonly string[], replacements: readonly Replacement[]) {
    return frames.map((frame) => replacedIn(frame, replacements));
  }

  show(frame: string): string {
    this.shown.push(frame.trim());
    return `${this.shown.length} ${frame}`;
  }

  beat(): string | null {
    return this.shown.length > 0 ? this.show('beat\n') : null;
  }

  ending(why: Ending, begun: boolean): string {
    this.failed = why.kind === 'error';
    const what = why.kind === 'blocked' ? 'blocked' : `${why.error.code} charged=${why.charged}`;
    return this.show(`${what} begun=${begun} last store\n`);
  }

  shelved(): Shelved | null {
    if (this.failed || this.of.kept?.store === false) return null;
    const [response, output] = [{ shown: this.shown }, []];
    return { id: `of${this.of.tag}`, response, input: [], output, parent: null, conversation: null };
  }

  unshelved(shown: string): string {
    return shown.replace(/ store\n/, ' no store\n').replace('"store":true', '"store":false');
  }
}

const frameOf = (text: string, t: string | undefined, closing: boolean): Frame => ({
  text: `${text}\n`,
  texts: t === undefined ? [] : [{ path: 't', text: t }],
  provider: [],
  closing,
});

const NUMBERED = {
  name: 'numbered',
  directions: { input: 'judged', output: 'judged' },
  reader: (_, of = { tag: '' }) => new NumberedReader(of),
  isLast: (frames) => /last (no )?store\n$/.test(frames),
} as Partial<Endpoint> as Endpoint;

/** Tickets of this test file may name the API. */
export function serveNumbered(): void {
  (ENDPOINTS as Endpoint[]).push(NUMBERED);
}
