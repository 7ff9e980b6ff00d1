import { Check, Column, Entity, PrimaryColumn, Unique } from 'typeorm';

/** A person who claims keys, whatever the campaign. */
@Entity({ schema: 'access', name: 'claimants' })
@Unique('claimants_hash_key', ['hash'])
@Check('claimants_blocked_by_check', `blocked_by = ANY (ARRAY['suspension'::text, 'person'::text])`)
export class Claimant {
  @PrimaryColumn('text', { primaryKeyConstraintName: 'claimants_pkey', collation: 'C' })
  id!: string;

  /** Tells who it is without saying it. It stays when somebody erases the claimant, so that nobody claims twice. */
  @Column({ type: 'text', collation: 'C' })
  hash!: string;

  @Column('text')
  kind!: 'label' | 'github' | 'email';

  /** What people call the claimant, sealed under the visitor's own secret; null: nobody can read it any more. */
  @Column('bytea', { name: 'label_sealed', nullable: true })
  labelSealed!: Buffer | null;

  /** Since then it claims no more. */
  @Column('timestamp with time zone', { name: 'blocked_at', precision: 3, nullable: true })
  blockedAt!: Date | null;

  /** A pardon ends a block by a suspension. What a person blocked stays blocked. */
  @Column('text', { name: 'blocked_by', nullable: true })
  blockedBy!: 'suspension' | 'person' | null;

  @Column('timestamp with time zone', { name: 'created_at', precision: 3 })
  createdAt!: Date;
}
