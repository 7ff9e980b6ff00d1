import { Inject, Injectable } from '@nestjs/common';
import type { DaypassConfig } from '#libs/config/config.js';
import type { DaypassError } from '#libs/contracts/errors.js';
import { HoldStore } from '#libs/holds/hold.store.js';
import type { BytesAnswer } from '#libs/holds/hold.types.js';
import { CONFIG } from '#libs/service/platform.tokens.js';
import { FullKeys } from '../domain/full-keys.js';
import { refusalOf } from '../refusals.js';

/** The bytes that keys send, beside those of calls: Redis counts these with the hold. */
@Injectable()
export class KeyBytes {
  private readonly full = new FullKeys();

  constructor(
    @Inject(CONFIG) private readonly config: DaypassConfig,
    private readonly holds: HoldStore,
  ) {}

  /**
   * Refuses a request of a key that has just sent too many bytes, before ingress does any work for it.
   * @throws DaypassError `rate_limit_exceeded`
   */
  refuseFull(keyId: string, bytes: number): void {
    const answer = this.full.refusalOf(keyId, bytes, performance.now());
    if (answer) throw refusalOf(answer);
  }

  /**
   * Counts the bytes of a request that ingress refuses by itself: they cost no money, and time all the same.
   * @throws DaypassError `rate_limit_exceeded` where the key sent too many
   */
  async count(keyId: string, bytes: number): Promise<void> {
    // Whoever's request is wrong learns that also while Redis does not answer.
    const answer = await this.holds.countBytes(keyId, bytes, this.config.limits).catch(() => 'ok' as const);
    if (answer !== 'ok') throw this.tooMany(keyId, answer);
  }

  tooMany(keyId: string, answer: BytesAnswer): DaypassError {
    this.full.remember(keyId, answer, performance.now());
    return refusalOf(answer);
  }
}
