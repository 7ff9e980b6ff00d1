import type { KeyObject } from 'node:crypto';
import { Inject, Injectable } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import type { DaypassConfig } from '#libs/config/config.js';
import { CONFIG } from '#libs/service/platform.tokens.js';
import { newClaimantId } from '../domain/account-id.js';
import { hashOfLabel } from '../domain/claimant.js';
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
  async ofLabel(manager: EntityManager, label: string): Promise<Claimant> {
    const hash = hashOfLabel(label, this.pepper);
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
      .values({ id, hash, kind: 'label', labelSealed, blockedAt: null, blockedBy: null, createdAt: new Date() })
      .orIgnore()
      .execute();
    // Another transaction may have been first.
    return manager.findOneByOrFail(Claimant, { hash });
  }
}
