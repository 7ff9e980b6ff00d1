import { Column, Entity, PrimaryColumn } from 'typeorm';

/** A journal entry that accounting cannot book. It waits here for a person, so that it never blocks the rest. */
@Entity({ schema: 'ledger', name: 'rejected_events' })
export class RejectedEvent {
  @PrimaryColumn('text', { name: 'journal_id', primaryKeyConstraintName: 'rejected_events_pkey' })
  journalId!: string;

  @Column('jsonb')
  raw!: Record<string, unknown>;

  @Column('text')
  reason!: string;

  @Column('timestamp with time zone', { name: 'recorded_at', precision: 3, default: () => 'now()' })
  recordedAt!: Date;
}
