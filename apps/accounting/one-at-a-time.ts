/**
 * Runs a costly question one at a time. Whoever asks while it runs shares the run that begins next: an answer never tells of a
 * time before its question.
 */
export class OneAtATime<T> {
  private running: Promise<T> | undefined;
  private next: Promise<T> | undefined;

  constructor(private readonly work: () => Promise<T>) {}

  ask(): Promise<T> {
    // Also between the end of one run and the beginning of the next.
    if (this.next !== undefined) return this.next;
    if (this.running === undefined) return this.begin();
    this.next = this.running.then(
      () => this.begin(),
      () => this.begin(),
    );
    return this.next;
  }

  private begin(): Promise<T> {
    this.next = undefined;
    const running = this.work().finally(() => {
      if (this.running === running) this.running = undefined;
    });
    this.running = running;
    return running;
  }
}
