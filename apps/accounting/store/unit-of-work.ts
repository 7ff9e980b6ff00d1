import { AsyncLocalStorage } from 'node:async_hooks';
import { Injectable } from '@nestjs/common';
import { InjectDataSource } from '@nestjs/typeorm';
import { DataSource, type EntityManager } from 'typeorm';

type Step = () => Promise<void>;

/** One transaction, and the steps that follow its end. */
export interface Unit {
  manager: EntityManager;
  /** The ids of the accounts that it writes. */
  written: string[];
  committed: Step[];
  undone: Step[];
}

/** Lets several services write in one transaction. Code that runs within a transaction joins it. */
@Injectable()
export class UnitOfWork {
  private readonly running = new AsyncLocalStorage<Unit>();

  constructor(@InjectDataSource() private readonly source: DataSource) {}

  /** Inside a transaction it sees that transaction's writes, and waits for no second connection. */
  get manager(): EntityManager {
    return this.running.getStore()?.manager ?? this.source.manager;
  }

  /** Joins the running transaction, or begins one. Its own resolves after the commit and the steps that follow it. */
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
