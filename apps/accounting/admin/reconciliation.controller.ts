import { Controller, Get, UseGuards } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import { reconciliationAnswer, type Reconciliation } from '#libs/contracts/admin/audit.js';
import { formatUsd } from '#libs/money/nano.js';
import { ReconcileRepository } from '../reconcile/reconcile.repository.js';
import { Reconciler } from '../reconcile/reconciler.js';
import { AdminGuard } from './admin.guard.js';
import { Documented } from './openapi.js';

@ApiTags('ledger')
@UseGuards(AdminGuard)
@Controller('admin/v1/reconciliation')
export class ReconciliationController {
  constructor(
    private readonly reconciler: Reconciler,
    private readonly repository: ReconcileRepository,
  ) {}

  @Get()
  @Documented({
    summary: "How the books compare with the provider's usage and cost reports",
    answer: 'The last comparison, and for each billed day what was booked and what was billed; needs OPENAI_ADMIN_KEY',
    shape: reconciliationAnswer,
  })
  async show(): Promise<{ data: Reconciliation }> {
    const [run, days] = await Promise.all([this.repository.lastRun(), this.reconciler.drift()]);
    return {
      data: {
        enabled: this.reconciler.enabled,
        scope: this.reconciler.scope || null,
        last_run: run && { at: run.ranAt.toISOString(), outcome: run.outcome, ...run.figures },
        days: days.map(({ day, bookedNano, billedNano }) => ({
          day,
          booked_usd: formatUsd(bookedNano),
          billed_usd: formatUsd(billedNano),
          drift_usd: formatUsd(bookedNano - billedNano),
        })),
      },
    };
  }
}
