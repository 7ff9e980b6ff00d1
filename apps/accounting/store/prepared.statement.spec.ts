import { describe, expect, it } from '@jest/globals';
import { QueryFailedError, type EntityManager } from 'typeorm';
import { PreparedStatement } from './prepared.statement.js';

type Sent = { name: string; text: string; values: unknown[] };

/** A transaction whose connection answers like this. */
function within(answer: () => Promise<{ rows: unknown[] }>): { manager: EntityManager; sent: Sent[] } {
  const sent: Sent[] = [];
  const connection = {
    query: (statement: Sent) => {
      sent.push(statement);
      return answer();
    },
  };
  return { manager: { queryRunner: { connect: () => Promise.resolve(connection) } } as unknown as EntityManager, sent };
}

describe('a prepared statement', () => {
  const statement = new PreparedStatement('SELECT $1::int AS n');

  it('has one name for one text, by which a connection knows it', async () => {
    const { manager, sent } = within(() => Promise.resolve({ rows: [{ n: 1 }] }));
    expect(await statement.run(manager, [1])).toEqual([{ n: 1 }]);
    await new PreparedStatement('SELECT $1::int AS n').run(manager, [2]);
    await new PreparedStatement('SELECT 3').run(manager);
    expect(sent[0]).toMatchObject({ text: 'SELECT $1::int AS n', values: [1] });
    expect(sent[1]!.name).toBe(sent[0]!.name);
    expect(sent[2]!.name).not.toBe(sent[0]!.name);
  });

  it("fails as the manager's own queries do, with what Postgres said", async () => {
    const { manager } = within(() => Promise.reject(Object.assign(new Error('out of range'), { code: '22003' })));
    const failure: unknown = await statement.run(manager, [1]).catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(QueryFailedError);
    expect((failure as QueryFailedError).driverError).toMatchObject({ code: '22003' });
  });

  it('is not prepared outside of a transaction', async () => {
    const asked: unknown[] = [];
    const manager = {
      query: (...args: unknown[]) => {
        asked.push(args);
        return Promise.resolve([{ n: 1 }]);
      },
    };
    expect(await statement.run(manager as unknown as EntityManager, [1])).toEqual([{ n: 1 }]);
    expect(asked).toEqual([['SELECT $1::int AS n', [1]]]);
  });
});
