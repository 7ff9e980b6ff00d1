import { Module, type DynamicModule } from '@nestjs/common';
import { APP_FILTER, APP_INTERCEPTOR } from '@nestjs/core';
import { TypeOrmModule } from '@nestjs/typeorm';
import type { Registry } from 'prom-client';
import type { DataSourceOptions } from 'typeorm';
import type { DaypassConfig } from '#libs/config/config.js';
import type { Logger } from '#libs/observability/logger.js';
import { PlatformModule } from '#libs/platform/platform.module.js';
import { AccountProjector } from './account.projector.js';
import { AccountWriter } from './account.writer.js';
import { AccountingMetrics } from './accounting.metrics.js';
import { AdminFilter } from './admin/admin.filter.js';
import { AuditController } from './admin/audit.controller.js';
import { CampaignsController } from './admin/campaigns.controller.js';
import { IdempotencyInterceptor } from './admin/idempotency.interceptor.js';
import { IdempotencyStore } from './admin/idempotency.store.js';
import { IdempotencySweeper } from './admin/idempotency.sweeper.js';
import { KeysController } from './admin/keys.controller.js';
import { LanesController } from './admin/lanes.controller.js';
import { LedgerController } from './admin/ledger.controller.js';
import { ReconciliationController } from './admin/reconciliation.controller.js';
import { AuditBooker } from './audit/audit.booker.js';
import { AuditDrain } from './audit/audit.drain.js';
import { AuditReader } from './audit/audit.reader.js';
import { AuditRepository } from './audit/audit.repository.js';
import { AuditVerifier } from './audit/audit.verifier.js';
import { CheckpointKeeper } from './audit/checkpoint.keeper.js';
import { RecordWatch } from './audit/record.watch.js';
import { RetentionKeeper } from './audit/retention.keeper.js';
import { VisitorEraser } from './audit/visitor.eraser.js';
import { VisitorVault } from './audit/visitor.vault.js';
import { BalanceRepository } from './balance.repository.js';
import { CampaignService } from './campaign.service.js';
import { dataSourceOptions, openDataSource } from './data-source.factory.js';
import { DoorKeeper } from './door.keeper.js';
import { FiguresKeeper } from './figures.keeper.js';
import { HoldSweeper } from './hold.sweeper.js';
import { JournalBooker } from './journal.booker.js';
import { JournalDrain } from './journal.drain.js';
import { KeyReader } from './key.reader.js';
import { KeyService } from './key.service.js';
import { KeySettler } from './key.settler.js';
import { LedgerRepository } from './ledger.repository.js';
import { LedgerVerifier } from './ledger.verifier.js';
import { NoticeSender } from './notice.sender.js';
import { PartitionKeeper } from './partition.keeper.js';
import { PendingProjections } from './pending.projections.js';
import { ProjectLimits } from './project.limits.js';
import { ReconcileRepository } from './reconcile/reconcile.repository.js';
import { Reconciler } from './reconcile/reconciler.js';
import { RedisRebuild } from './redis.rebuild.js';
import { SafetyDesk } from './safety.desk.js';
import { StrikeRepository } from './strike.repository.js';
import { UnitOfWork } from './unit-of-work.js';
import { UsageReader } from './usage.reader.js';

@Module({})
export class AccountingModule {
  static register(config: DaypassConfig, logger: Logger, registry: Registry): DynamicModule {
    return {
      module: AccountingModule,
      imports: [
        PlatformModule.register(config, logger, registry),
        TypeOrmModule.forRootAsync({
          useFactory: () => ({
            ...dataSourceOptions(config.databaseUrl, (error) => logger.warn({ err: error }, 'Postgres connection')),
            retryAttempts: 10,
            retryDelay: 1_000,
          }),
          dataSourceFactory: (options) => openDataSource(options as DataSourceOptions, config.auditorPassword),
        }),
      ],
      controllers: [AuditController, CampaignsController, KeysController, LanesController, LedgerController, ReconciliationController],
      providers: [
        { provide: APP_FILTER, useClass: AdminFilter },
        { provide: APP_INTERCEPTOR, useClass: IdempotencyInterceptor },
        AccountProjector,
        AccountWriter,
        AccountingMetrics,
        AuditBooker,
        AuditDrain,
        AuditReader,
        AuditRepository,
        AuditVerifier,
        BalanceRepository,
        CampaignService,
        CheckpointKeeper,
        DoorKeeper,
        FiguresKeeper,
        HoldSweeper,
        IdempotencyStore,
        IdempotencySweeper,
        JournalBooker,
        JournalDrain,
        KeyReader,
        KeyService,
        KeySettler,
        LedgerRepository,
        LedgerVerifier,
        NoticeSender,
        PartitionKeeper,
        PendingProjections,
        ProjectLimits,
        ReconcileRepository,
        Reconciler,
        RecordWatch,
        RedisRebuild,
        RetentionKeeper,
        SafetyDesk,
        StrikeRepository,
        UnitOfWork,
        UsageReader,
        VisitorEraser,
        VisitorVault,
      ],
    };
  }
}
