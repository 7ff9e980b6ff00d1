import type { ChatBody } from '#libs/rehearsal/rehearsal.chat.js';
import type { ChatOverride } from '#libs/rehearsal/rehearsal.chat.face.js';
import type { SharedDaypass } from '#libs/testing/daypass.js';
import { until } from '#libs/testing/until.js';

interface RunningCall {
  body: ChatBody;
  /** Answers with so many output tokens in the usage report. */
  end(outputTokens: number): void;
}

/** An upstream in the test's hands: each call runs until the test ends it. */
export class UpstreamHands {
  /** Every call that came, in order. */
  readonly calls: RunningCall[] = [];
  private endAllWith: number | undefined;

  constructor(daypass: SharedDaypass) {
    daypass.rehearsal.onChat = (body) =>
      new Promise((resolve) => {
        const end = (outputTokens: number): void =>
          resolve({ content: 'ok', usage: { prompt_tokens: 10, completion_tokens: outputTokens } });
        this.calls.push({ body, end });
        if (this.endAllWith !== undefined) end(this.endAllWith);
      });
  }

  /** Resolves when so many calls have come. */
  came(count: number): Promise<void> {
    return until(`${count} calls come`, () => this.calls.length >= count);
  }

  /** Whatever runs, and whatever comes. */
  endAll(outputTokens: number): void {
    this.endAllWith = outputTokens;
    for (const call of this.calls) call.end(outputTokens);
  }
}

/** A 200 of these very bytes, whatever they are. */
export function answerOfBytes(text: string, contentType = 'application/json'): ChatOverride {
  return {
    refuse: { status: 200, headers: { 'content-type': contentType }, error: { message: '' }, garbage: text },
  };
}
