import type { KeyObject } from 'node:crypto';
import { Inject, Injectable } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import type { DaypassConfig } from '#libs/config/config.js';
import type { Identity } from '#libs/contracts/claims.js';
import { CONFIG } from '#libs/service/platform.tokens.js';
import { newClaimantId } from '../domain/account-id.js';
import { hashOfSubject, normalLabel } from '../domain/claimant.js';
import { VisitorVault } from '../record/visitor.vault.js';
import { Claimant } from '../store/entities/claimant.entity.js';

/** Knows claimants again, in every campaign, by a hash that says nothing about them. */
@Injectable()
export class Claimants {
  private readonly pepper: KeyObject;

  constructor(
    @Inject(CONFIG) config: DaypassConfig,
    private readonly vault: VisitorVault,
  ) {
    this.pepper = config.secrets.claimantPepper;
  }

  /** The claimant whom people call so; a new one, where nobody was called so before. */
  ofLabel(manager: EntityManager, label: string): Promise<Claimant> {
    return this.of(manager, { kind: 'label', subject: `label:${normalLabel(label)}`, label });
  }

  /** Whom a gate found out; a new one, where nobody came so before. */
  ofIdentity(manager: EntityManager, identity: Identity): Promise<Claimant> {
    return this.of(manager, identity);
  }

  /** null: this person never claimed anything, nor waits for a key. */
  find(manager: EntityManager, { subject }: Identity): Promise<Claimant | null> {
    return manager.findOneBy(Claimant, { hash: hashOfSubject(subject, this.pepper) });
  }

  private async of(
    manager: EntityManager,
    { kind, subject, label }: Omit<Identity, 'kind'> & { kind: Claimant['kind'] },
  ): Promise<Claimant> {
    const hash = hashOfSubject(subject, this.pepper);
    const known = await manager.findOneBy(Claimant, { hash });
    if (known) return known;
    const id = newClaimantId();
    // `VisitorVault.open(manager, id, id, sealed)` reads the label.
    const box = (await this.vault.boxes(manager, [id])).get(id);
    const labelSealed = box?.seal(await this.vault.compress(label), id) ?? null;
    await manager
      .createQueryBuilder()
      .insert()
      .into(Claimant)
      .values({ id, hash, kind, labelSealed, blockedAt: null, blockedBy: null, createdAt: new Date() })
      .orIgnore()
      .execute();
    // Another transaction may have been first.
    return manager.findOneByOrFail(Claimant, { hash });
  }
}
