import { Module, type DynamicModule } from '@nestjs/common';
import { APP_FILTER, APP_INTERCEPTOR } from '@nestjs/core';
import { TypeOrmModule } from '@nestjs/typeorm';
import type { Registry } from 'prom-client';
import type { DataSourceOptions } from 'typeorm';
import type { DaypassConfig } from '#libs/config/config.js';
import type { Logger } from '#libs/service/logger.js';
import { PlatformModule } from '#libs/service/platform.module.js';
import { AccountProjector } from './accounts/account.projector.js';
import { AccountWriter } from './accounts/account.writer.js';
import { BudgetReturner } from './accounts/budget.returner.js';
import { CampaignService } from './accounts/campaign.service.js';
import { KeyBulk } from './accounts/key.bulk.js';
import { KeyReader } from './accounts/key.reader.js';
import { KeyService } from './accounts/key.service.js';
import { PendingProjections } from './accounts/pending.projections.js';
import { ProjectionMetrics } from './accounts/projection.metrics.js';
import { AdminFilter } from './admin/admin.filter.js';
import { AuditController } from './admin/audit.controller.js';
import { CampaignsController } from './admin/campaigns.controller.js';
import { CsvInterceptor } from './admin/csv.interceptor.js';
import { IdempotencyInterceptor } from './admin/idempotency.interceptor.js';
import { IdempotencyStore } from './admin/idempotency.store.js';
import { IdempotencySweeper } from './admin/idempotency.sweeper.js';
import { KeysController } from './admin/keys.controller.js';
import { LanesController } from './admin/lanes.controller.js';
import { LedgerController } from './admin/ledger.controller.js';
import { ReconciliationController } from './admin/reconciliation.controller.js';
import { BalanceRepository } from './books/balance.repository.js';
import { BooksMetrics } from './books/books.metrics.js';
import { FiguresMetrics } from './books/figures.metrics.js';
import { FiguresSampler } from './books/figures.sampler.js';
import { FirstUseRepository } from './books/first-use.repository.js';
import { HoldSweeper } from './books/hold.sweeper.js';
import { JournalBooker } from './books/journal.booker.js';
import { JournalDrain } from './books/journal.drain.js';
import { LedgerRepository } from './books/ledger.repository.js';
import { LedgerVerifier } from './books/ledger.verifier.js';
import { LiveBalanceReader } from './books/live-balance.reader.js';
import { StrikeRepository } from './books/strike.repository.js';
import { NoticeSender } from './notices/notice.sender.js';
import { SafetyDesk } from './notices/safety.desk.js';
import { ProjectLimits } from './reconcile/project.limits.js';
import { ReconcileMetrics } from './reconcile/reconcile.metrics.js';
import { ReconcileRepository } from './reconcile/reconcile.repository.js';
import { Reconciler } from './reconcile/reconciler.js';
import { AuditBooker } from './record/audit.booker.js';
import { AuditDrain } from './record/audit.drain.js';
import { AuditReader } from './record/audit.reader.js';
import { AuditRepository } from './record/audit.repository.js';
import { AuditVerifier } from './record/audit.verifier.js';
import { CallList } from './record/call.list.js';
import { CheckpointSigner } from './record/checkpoint.signer.js';
import { RecordMetrics } from './record/record.metrics.js';
import { RecordWatch } from './record/record.watch.js';
import { RetentionSweeper } from './record/retention.sweeper.js';
import { VisitorEraser } from './record/visitor.eraser.js';
import { VisitorVault } from './record/visitor.vault.js';
import { CallHistory } from './recovery/call.history.js';
import { DoorKeeper } from './recovery/door.keeper.js';
import { RedisRebuild } from './recovery/redis.rebuild.js';
import { dataSourceOptions, openDataSource } from './store/data-source.factory.js';
import { PartitionMaker } from './store/partition.maker.js';
import { UnitOfWork } from './store/unit-of-work.js';

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
      controllers: [
        AuditController,
        CampaignsController,
        KeysController,
        LanesController,
        LedgerController,
        ReconciliationController,
      ],
      providers: [
        { provide: APP_FILTER, useClass: AdminFilter },
        { provide: APP_INTERCEPTOR, useClass: CsvInterceptor },
        { provide: APP_INTERCEPTOR, useClass: IdempotencyInterceptor },
        AccountProjector,
        AccountWriter,
        AuditBooker,
        AuditDrain,
        AuditReader,
        AuditRepository,
        AuditVerifier,
        BalanceRepository,
        BooksMetrics,
        BudgetReturner,
        CallHistory,
        CallList,
        CampaignService,
        CheckpointSigner,
        DoorKeeper,
        FiguresMetrics,
        FiguresSampler,
        FirstUseRepository,
        HoldSweeper,
        IdempotencyStore,
        IdempotencySweeper,
        JournalBooker,
        JournalDrain,
        KeyBulk,
        KeyReader,
        KeyService,
        LedgerRepository,
        LedgerVerifier,
        LiveBalanceReader,
        NoticeSender,
        PartitionMaker,
        PendingProjections,
        ProjectLimits,
        ProjectionMetrics,
        ReconcileMetrics,
        ReconcileRepository,
        Reconciler,
        RecordMetrics,
        RecordWatch,
        RedisRebuild,
        RetentionSweeper,
        SafetyDesk,
        StrikeRepository,
        UnitOfWork,
        VisitorEraser,
        VisitorVault,
      ],
    };
  }
}
