import { atEndOfTurn } from './turn.js';

interface Waiting<T, R> {
  item: T;
  resolve: (result: R) => void;
  reject: (error: unknown) => void;
}

/**
 * Gathers the items of one tick of the event loop, and hands them on together: one enqueue, one upstream call or one
 * command for many. `flush` returns one result per item, in order.
 */
export class TickBatch<T, R> {
  private waiting: Waiting<T, R>[] = [];
  private scheduled = false;
  private underWay = 0;

  /** `oneAtATime`: what comes while a batch is under way leaves with the next one, so that batches grow with the load. */
  constructor(
    private readonly most: number,
    private readonly flush: (items: T[]) => Promise<readonly R[]>,
    private readonly oneAtATime = false,
  ) {}

  add(item: T): Promise<R> {
    return new Promise((resolve, reject) => {
      this.waiting.push({ item, resolve, reject });
      this.schedule();
    });
  }

  /** `count`: so many items leave; without it also those that come until then. */
  private schedule(count = Infinity): void {
    if (this.scheduled || (this.oneAtATime && this.underWay > 0)) return;
    this.scheduled = true;
    atEndOfTurn(() => this.flushSome(count));
  }

  private flushSome(count: number): void {
    this.scheduled = false;
    const all = this.waiting.splice(0, count);
    for (let start = 0; start < all.length; start += this.most) void this.settle(all.slice(start, start + this.most));
  }

  private async settle(batch: Waiting<T, R>[]): Promise<void> {
    this.underWay++;
    try {
      const results = await this.flush(batch.map(({ item }) => item));
      if (results.length !== batch.length) throw new Error(`a batch of ${batch.length} got ${results.length} results`);
      batch.forEach(({ resolve }, index) => resolve(results[index]!));
    } catch (error) {
      for (const { reject } of batch) reject(error);
    } finally {
      this.underWay--;
      // What an item is about is sent right before the item is added, in the same tick. So an item that comes now
      // would leave before that.
      if (this.waiting.length > 0) this.schedule(this.waiting.length);
    }
  }
}
