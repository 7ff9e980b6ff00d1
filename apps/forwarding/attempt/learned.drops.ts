/** An upstream may learn a parameter later, e.g. with a new version. */
const LIFE_MS = 86_400_000;
/** Beyond so many the oldest are forgotten, and learned again. */
const ENTRIES_MAX = 1_000;

interface Learned {
  name: string;
  /** undefined: for all models. */
  model: string | undefined;
  untilMs: number;
}

/** The parameters that one upstream refused, for all models or for one. Each is left out for a day. */
export class LearnedDrops {
  private readonly learned = new Map<string, Learned>();

  add(name: string, model: string | undefined): void {
    const key = JSON.stringify([name, model]);
    this.learned.delete(key);
    this.learned.set(key, { name, model, untilMs: Date.now() + LIFE_MS });
    const [oldest] = this.learned.keys();
    if (this.learned.size > ENTRIES_MAX) this.learned.delete(oldest!);
  }

  /** What to leave out of a call of this model. */
  of(model: string): string[] {
    const nowMs = Date.now();
    for (const [key, { untilMs }] of this.learned) {
      // The oldest come first.
      if (untilMs > nowMs) break;
      this.learned.delete(key);
    }
    const all = [...this.learned.values()];
    return all.filter((one) => one.model === undefined || one.model === model).map(({ name }) => name);
  }
}
