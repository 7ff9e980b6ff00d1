import { Column, Entity, Index, PrimaryColumn } from 'typeorm';

/** The first answer to a write that came with an idempotency key. */
@Entity({ schema: 'access', name: 'idempotent_writes' })
@Index('idempotent_writes_expiry_idx', ['expiresAt'])
export class IdempotentWrite {
  @PrimaryColumn('text', { primaryKeyConstraintName: 'idempotent_writes_pkey', collation: 'C' })
  key!: string;

  /** An HMAC of method, address and body: an attacker could guess the input of a plain hash. */
  @Column('text')
  fingerprint!: string;

  /** Encrypted: it may hold a virtual key, which is stored nowhere else. */
  @Column('bytea')
  answer!: Buffer;

  /** The ids of the accounts that it wrote. */
  @Column('text', { array: true })
  written!: string[];

  @Column('timestamp with time zone', { name: 'expires_at', precision: 3 })
  expiresAt!: Date;
}
