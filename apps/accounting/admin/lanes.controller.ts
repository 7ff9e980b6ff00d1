import { Controller, Get, UseGuards } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import { LaneLine, type LaneView } from '#libs/pacing/lane-line.js';
import { LaneTable } from '#libs/pacing/lanes.js';
import { AdminGuard } from './admin.guard.js';
import { Documented } from './openapi.js';

/** Of requests, or of tokens, a minute. */
interface Use {
  /** null: none is known, so that only a 429 stops the lane. */
  limit: number | null;
  used: number;
}

interface LaneShown {
  lane: string;
  requests: Use;
  tokens: Use;
  /** What DAYPASS_CONFIG says; the limits in force may have been told by the upstream since. */
  configured: { rpm: number | null; tpm: number | null; fixed: boolean };
  frozen_until: string | null;
  waiting: { calls: number; tokens: number; next: string | null };
}

@ApiTags('lanes')
@UseGuards(AdminGuard)
@Controller('admin/v1/lanes')
export class LanesController {
  constructor(
    private readonly table: LaneTable,
    private readonly line: LaneLine,
  ) {}

  @Get()
  @Documented({ summary: 'What each lane is at: its limits, what of them was used within the last minute, and who waits', answer: 'The lanes' })
  async list(): Promise<{ data: LaneShown[] }> {
    return { data: (await Promise.all(this.table.all().map((lane) => this.line.look(lane)))).map(show) };
  }
}

function show({ lane, configured, rpm, tpm, requests, tokens, frozenUntilMs, waitingCalls, waitingTokens, nextId }: LaneView): LaneShown {
  return {
    lane,
    requests: { limit: rpm || null, used: requests },
    tokens: { limit: tpm || null, used: tokens },
    configured: { rpm: configured.rpm || null, tpm: configured.tpm || null, fixed: configured.fixed },
    frozen_until: frozenUntilMs > 0 ? new Date(frozenUntilMs).toISOString() : null,
    waiting: { calls: waitingCalls, tokens: waitingTokens, next: nextId },
  };
}
