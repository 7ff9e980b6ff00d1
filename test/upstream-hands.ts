import { setTimeout as sleep } from 'node:timers/promises';
import type { ChatBody } from '#libs/stack/rehearsal.chat.js';
import type { SharedDaypass } from '#libs/testing/daypass.js';

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
        const end = (outputTokens: number): void => resolve({ content: 'ok', usage: { prompt_tokens: 10, completion_tokens: outputTokens } });
        this.calls.push({ body, end });
        if (this.endAllWith !== undefined) end(this.endAllWith);
      });
  }

  /** Resolves when so many calls have come. */
  async came(count: number): Promise<void> {
    for (const until = Date.now() + 10_000; this.calls.length < count; await sleep(5)) {
      if (Date.now() > until) throw new Error(`${this.calls.length} calls came, ${count} were expected`);
    }
  }

  /** Whatever runs, and whatever comes. */
  endAll(outputTokens: number): void {
    this.endAllWith = outputTokens;
    for (const call of this.calls) call.end(outputTokens);
  }
}
