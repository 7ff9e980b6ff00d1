import { Column, Entity, Index, PrimaryColumn } from 'typeorm';

/** The first answer to a write that came with an idempotency key. */
@Entity({ schema: 'access', name: 'idempotent_writes' })
@Index('idempotent_writes_expiry_idx', ['expiresAt'])
export class IdempotentWrite {
  @PrimaryColumn('text', { primaryKeyConstraintName: 'idempotent_writes_pkey', collation: 'C' })
  key!: string;

  /** Of method, address and body, keyed: a plain hash could be tried out. */
  @Column('text')
  fingerprint!: string;

  /** Sealed: it may hold a virtual key, which is kept nowhere else. */
  @Column('bytea')
  answer!: Buffer;

  /** What it wrote, by id. */
  @Column('text', { array: true })
  written!: string[];

  @Column('timestamp with time zone', { name: 'expires_at', precision: 3 })
  expiresAt!: Date;
}
