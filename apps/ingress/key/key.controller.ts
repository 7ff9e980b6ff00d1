import { Controller, Get, Req } from '@nestjs/common';
import type { FastifyRequest } from 'fastify';
import { effectivePolicy } from '#libs/contracts/policy.js';
import { formatUsd } from '#libs/money/nano.js';
import { Authenticator } from '../door/authenticator.service.js';

const NO_WISH = { input: false, output: false };

@Controller('/v1/key')
export class KeyController {
  constructor(private readonly authenticator: Authenticator) {}

  /** What visitors see of their own key. */
  @Get()
  async show(@Req() request: FastifyRequest): Promise<unknown> {
    const { key, campaign, nowMs } = await this.authenticator.visitor(request.headers.authorization);
    const { windowMs = 0 } = effectivePolicy(campaign.policy, key.policy, NO_WISH, false).strikes ?? {};
    const strikesNow = key.strike_times.filter((at) => windowMs === 0 || at > nowMs - windowMs).length;
    const resting = key.status === 'active' && key.cooldown_until > nowMs;
    return {
      data: {
        id: key.id,
        label: key.label,
        campaign: campaign.slug,
        status: resting ? 'suspended' : key.status,
        suspended_until: resting ? new Date(key.cooldown_until).toISOString() : null,
        expires_at: key.expires_ms > 0 ? new Date(key.expires_ms).toISOString() : null,
        budget_usd: formatUsd(key.budget),
        spent_usd: formatUsd(key.spent),
        held_usd: formatUsd(key.held),
        available_usd: formatUsd(key.budget - key.spent - key.held),
        limits: { rpm: key.rpm, tpm: key.tpm, concurrent: key.concurrent },
        strikes: strikesNow,
      },
    };
  }
}
