import { AdminError } from './domain/admin.error.js';

/** Lets so much work of one kind run at once in this process, so that it leaves Postgres' connections to the books. */
export class AtMost {
  private running = 0;

  /** `what`: the work, as the refusal names it. */
  constructor(
    private readonly most: number,
    private readonly what: string,
  ) {}

  /** Takes a place. Returns what gives it back, once. @throws AdminError `too_busy` */
  take(): () => void {
    if (this.running >= this.most)
      throw new AdminError(
        'too_busy',
        `${this.most} ${this.what} run at this moment, and this process runs no more of them at once. Try again shortly.`,
        { retryAfterSeconds: 2 },
      );
    this.running += 1;
    let isTaken = true;
    return () => {
      if (isTaken) this.running -= 1;
      isTaken = false;
    };
  }

  /** @throws AdminError `too_busy` */
  async run<T>(work: () => Promise<T>): Promise<T> {
    const leave = this.take();
    try {
      return await work();
    } finally {
      leave();
    }
  }
}
