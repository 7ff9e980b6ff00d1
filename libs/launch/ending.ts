/** What has been started, ended in reverse order, once, whenever the end comes, even in the middle of the start. */
export class Ending {
  private readonly steps: { stop: () => Promise<void>; kill?: () => void }[] = [];
  private running: Promise<void> | undefined;

  get begun(): boolean {
    return this.running !== undefined;
  }

  /** Something that runs from now on. @throws when the end has begun meanwhile; it is stopped then */
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

  /** For the impatient: everything is killed at once. What was committed is kept; leases end the rest. */
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

/** The start was cut off by its own end: nothing to report. */
export class Interrupted extends Error {}
