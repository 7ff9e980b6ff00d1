import { hash } from 'node:crypto';
import { QueryFailedError, type DataSource, type EntityManager } from 'typeorm';

interface Connection {
  query: (statement: { name: string; text: string; values: readonly unknown[] }) => Promise<{ rows: unknown[] }>;
}

/**
 * A statement that the drains repeat with each batch, or a loop with each look. Postgres parses and plans it once for a
 * connection. For a small batch that took longer than the batch itself.
 */
export class PreparedStatement<Row = unknown> {
  private readonly name: string;

  constructor(private readonly text: string) {
    this.name = `daypass_${hash('sha256', text, 'hex').slice(0, 16)}`;
  }

  /** Outside of a transaction, on a connection that it takes for this alone. @throws QueryFailedError */
  async ask(source: Pick<DataSource, 'createQueryRunner'>, values: readonly unknown[] = []): Promise<Row[]> {
    const runner = source.createQueryRunner();
    try {
      return await this.run(runner.manager, values);
    } finally {
      await runner.release();
    }
  }

  /** Prepared within a transaction alone: outside of one the manager takes any connection. @throws QueryFailedError */
  async run(manager: EntityManager, values: readonly unknown[] = []): Promise<Row[]> {
    const { queryRunner } = manager;
    if (!queryRunner) return manager.query<Row[]>(this.text, [...values]);
    const connection = (await queryRunner.connect()) as Connection;
    try {
      const { rows } = await connection.query({ name: this.name, text: this.text, values });
      return rows as Row[];
    } catch (error) {
      throw new QueryFailedError(this.text, [...values], error as Error);
    }
  }
}
