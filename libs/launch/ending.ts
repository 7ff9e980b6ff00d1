/** Ends everything that was started, in reverse order and once, even in the middle of the start. */
export class Ending {
  private readonly steps: { stop: () => Promise<void>; kill?: () => void }[] = [];
  private running: Promise<void> | undefined;

  get begun(): boolean {
    return this.running !== undefined;
  }

  /** Adds something that runs now. @throws when the end has begun; it stops it then */
  async add(stop: () => Promise<void>, kill?: () => void): Promise<void> {
    if (this.running) {
      await stop();
      throw new Interrupted();
    }
    this.steps.push({ stop, ...(kill ? { kill } : {}) });
  }

  async run(): Promise<void> {
    this.running ??= this.stopAll();
    await this.running;
  }

  /**
   * A second Ctrl-C kills everything at once. Committed data stays, and accounting ends the calls when their leases run
   * out.
   */
  kill(): void {
    for (const { kill } of this.steps) kill?.();
  }

  private async stopAll(): Promise<void> {
    for (const { stop } of [...this.steps].reverse()) {
      try {
        await stop();
      } catch (error) {
        process.stderr.write(`while ending: ${error instanceof Error ? error.message : String(error)}\n`);
      }
    }
  }
}

/** The user ended the start: nothing to report. */
export class Interrupted extends Error {}
