import { AsyncLocalStorage } from 'node:async_hooks';
import { Injectable } from '@nestjs/common';
import { InjectDataSource } from '@nestjs/typeorm';
import { DataSource, type EntityManager } from 'typeorm';

type Step = () => Promise<void>;

/** One transaction, and what follows when it ends. */
export interface Unit {
  manager: EntityManager;
  /** The accounts that it writes, by id. */
  written: string[];
  committed: Step[];
  undone: Step[];
}

/** Lets several services write in one transaction without handing it around: whoever runs within it joins it. */
@Injectable()
export class UnitOfWork {
  private readonly running = new AsyncLocalStorage<Unit>();

  constructor(@InjectDataSource() private readonly source: DataSource) {}

  /** Of the transaction that runs here, so that its writes are seen and no second connection is waited for; else of none. */
  get manager(): EntityManager {
    return this.running.getStore()?.manager ?? this.source.manager;
  }

  /** Within the transaction that runs here, else in one of its own. Resolves once committed and followed up, or joined. */
  async run<T>(work: (unit: Unit) => Promise<T>): Promise<T> {
    const outer = this.running.getStore();
    if (outer) return work(outer);
    const ends = { written: [], committed: [] as Step[], undone: [] as Step[] };
    let result: T;
    try {
      result = await this.source.transaction((manager) => {
        const unit = { manager, ...ends };
        return this.running.run(unit, () => work(unit));
      });
    } catch (error) {
      for (const step of ends.undone) await step();
      throw error;
    }
    for (const step of ends.committed) await step();
    return result;
  }
}
