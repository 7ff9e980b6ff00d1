import { Column, Entity, PrimaryColumn } from 'typeorm';

/** The number that must outlive Redis: the epoch. */
@Entity({ schema: 'access', name: 'state' })
export class State {
  @PrimaryColumn('text', { primaryKeyConstraintName: 'state_pkey' })
  name!: string;

  @Column('int')
  value!: number;
}
