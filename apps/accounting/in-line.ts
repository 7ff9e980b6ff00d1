/** Runs work of one name one after the other. Work of other names does not wait for it. */
export class InLine {
  /** By name, the end of the last work that came; it never fails. */
  private readonly ends = new Map<string, Promise<void>>();

  async run<T>(name: string, work: () => Promise<T>): Promise<T> {
    const before = this.ends.get(name);
    const { promise, resolve } = Promise.withResolvers<void>();
    this.ends.set(name, promise);
    try {
      await before;
      return await work();
    } finally {
      resolve();
      if (this.ends.get(name) === promise) this.ends.delete(name);
    }
  }
}
