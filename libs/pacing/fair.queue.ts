/** A queue for each key. Keys take turns, so that one key's many items do not go before another key's first. */
export class FairQueue<T> {
  /** The key whose turn is next stands first. */
  private readonly lines = new Map<string, T[]>();
  private items = 0;

  get size(): number {
    return this.items;
  }

  sizeOf(key: string): number {
    return this.lines.get(key)?.length ?? 0;
  }

  add(key: string, item: T): void {
    const line = this.lines.get(key);
    if (line) line.push(item);
    else this.lines.set(key, [item]);
    this.items++;
  }

  /** Before all other items of its key. */
  putBack(key: string, item: T): void {
    const line = this.lines.get(key);
    if (line) line.unshift(item);
    else this.lines.set(key, [item]);
    this.items++;
  }

  /** The first item of the first key whose first item may go; undefined where none may. */
  take(may: (item: T) => boolean = () => true): T | undefined {
    for (const [key, line] of this.lines) {
      if (!may(line[0]!)) continue;
      const item = line.shift()!;
      this.items--;
      this.lines.delete(key);
      if (line.length > 0) this.lines.set(key, line);
      return item;
    }
    return undefined;
  }

  /** Returns whether the item was there. */
  remove(key: string, item: T): boolean {
    const line = this.lines.get(key) ?? [];
    const at = line.indexOf(item);
    if (at < 0) return false;
    line.splice(at, 1);
    this.items--;
    if (line.length === 0) this.lines.delete(key);
    return true;
  }

  /** The first item of each key. */
  heads(): T[] {
    return [...this.lines.values()].map((line) => line[0]!);
  }
}
