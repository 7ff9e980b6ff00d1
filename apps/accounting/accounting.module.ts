import { BullModule } from '@nestjs/bullmq';
import { Module, type DynamicModule } from '@nestjs/common';
import { APP_FILTER, APP_INTERCEPTOR } from '@nestjs/core';
import { TypeOrmModule } from '@nestjs/typeorm';
import type { Registry } from 'prom-client';
import type { DataSourceOptions } from 'typeorm';
import type { DaypassConfig } from '#libs/config/config.js';
import { DESK_QUEUE, ERRANDS_QUEUE } from '#libs/contracts/claims.js';
import { bullOptions } from '#libs/queues/bull.options.js';
import type { Logger } from '#libs/service/logger.js';
import { queueErrors, queuesOf } from '#libs/service/queue.providers.js';
import { PlatformModule } from '#libs/service/platform.module.js';
import { AccountProjector } from './accounts/account.projector.js';
import { AccountWriter } from './accounts/account.writer.js';
import { CampaignPromises } from './accounts/campaign.promises.js';
import { Claimants } from './accounts/claimants.js';
import { LinkProjector } from './accounts/link.projector.js';
import { DoorSwitch } from './accounts/door.switch.js';
import { BudgetReturner } from './accounts/budget.returner.js';
import { CampaignService } from './accounts/campaign.service.js';
import { KeyBulk } from './accounts/key.bulk.js';
import { KeyReader } from './accounts/key.reader.js';
import { KeyService } from './accounts/key.service.js';
import { PendingProjections } from './accounts/pending.projections.js';
import { ProjectionMetrics } from './accounts/projection.metrics.js';
import { ActorInterceptor } from './admin/actor.interceptor.js';
import { AdminFilter } from './admin/admin.filter.js';
import { AdminGuard } from './admin/admin.guard.js';
import { AuditController } from './admin/audit.controller.js';
import { CampaignsController } from './admin/campaigns.controller.js';
import { ClaimsController } from './admin/claims.controller.js';
import { CsvInterceptor } from './admin/csv.interceptor.js';
import { ConsoleController } from './admin/console.controller.js';
import { IdempotencyInterceptor } from './admin/idempotency.interceptor.js';
import { IdempotencyStore } from './admin/idempotency.store.js';
import { IdempotencySweeper } from './admin/idempotency.sweeper.js';
import { Downloads } from './admin/downloads.js';
import { KeysController } from './admin/keys.controller.js';
import { LanesController } from './admin/lanes.controller.js';
import { LedgerController } from './admin/ledger.controller.js';
import { LinksController } from './admin/links.controller.js';
import { VisitorsController } from './admin/visitors.controller.js';
import { WaitlistController } from './admin/waitlist.controller.js';
import { ReconciliationController } from './admin/reconciliation.controller.js';
import { SessionController } from './admin/session.controller.js';
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
import { StatementList } from './books/statement.list.js';
import { StrikeRepository } from './books/strike.repository.js';
import { ClaimBooks } from './claims/claim.books.js';
import { ClaimList } from './claims/claim.list.js';
import { ClaimService } from './claims/claim.service.js';
import { CodeService } from './claims/code.service.js';
import { LinkService } from './claims/link.service.js';
import { LinkTester } from './claims/link.tester.js';
import { LinkWatch } from './claims/link.watch.js';
import { Waitlist } from './claims/waitlist.js';
import { createDeskProcessor } from './desk/desk.processor.js';
import { Desk } from './desk/desk.js';
import { ClaimReplacer } from './desk/claim.replacer.js';
import { GithubClient } from './desk/github.client.js';
import { HolderDesk } from './desk/holder.desk.js';
import { TrafficRepository } from './books/traffic.repository.js';
import { Beats } from './console/beats.js';
import { CampaignFigures } from './console/campaign.figures.js';
import { LaneBoard } from './console/lane.board.js';
import { LiveFigures } from './console/live.figures.js';
import { Needs } from './console/needs.js';
import { OverviewReader } from './console/overview.js';
import { SettingsReader } from './console/settings.reader.js';
import { StatsFolder } from './console/stats.folder.js';
import { StatsReader } from './console/stats.reader.js';
import { StreamHub } from './console/stream.hub.js';
import { Sessions } from './console/sessions.js';
import { SignInLinks } from './console/sign-in.links.js';
import { DueWork } from './due.work.js';
import { LiveEvents } from './live.events.js';
import { InviteSender } from './mail/invite.sender.js';
import { Mailer } from './mail/mailer.js';
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
import { HeldCallList } from './record/held.calls.js';
import { PolicyList } from './record/policy.list.js';
import { RecordMetrics } from './record/record.metrics.js';
import { RecordWatch } from './record/record.watch.js';
import { RetentionSweeper } from './record/retention.sweeper.js';
import { ThresholdReplay } from './record/threshold.replay.js';
import { VisitorEraser } from './record/visitor.eraser.js';
import { VisitorVault } from './record/visitor.vault.js';
import { CallHistory } from './recovery/call.history.js';
import { DoorKeeper } from './recovery/door.keeper.js';
import { RedisRebuild } from './recovery/redis.rebuild.js';
import { dataSourceOptions, openDataSource } from './store/data-source.factory.js';
import { PartitionMaker } from './store/partition.maker.js';
import { CampaignRevoker } from './accounts/campaign.revoker.js';
import { HolderErasure } from './accounts/holder.erasure.js';
import { VisitorActs } from './accounts/visitor.acts.js';
import { VisitorList } from './accounts/visitor.list.js';
import { VisitorFinder } from './record/visitor.finder.js';
import { ReviewQueue } from './record/review.queue.js';
import { OpenedCalls } from './record/opened.calls.js';
import { ActList } from './record/act.list.js';
import { UnitOfWork } from './store/unit-of-work.js';

@Module({})
export class AccountingModule {
  static register(config: DaypassConfig, logger: Logger, registry: Registry): DynamicModule {
    return {
      module: AccountingModule,
      imports: [
        PlatformModule.register(config, logger, registry),
        BullModule.forRoot(bullOptions(config.redisUrl, config.traces)),
        // Nest starts the worker of a queue that it knows.
        queuesOf([DESK_QUEUE, ERRANDS_QUEUE]),
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
        ClaimsController,
        ConsoleController,
        KeysController,
        LanesController,
        LedgerController,
        LinksController,
        ReconciliationController,
        SessionController,
        VisitorsController,
        WaitlistController,
      ],
      providers: [
        queueErrors([DESK_QUEUE, ERRANDS_QUEUE]),
        { provide: APP_FILTER, useClass: AdminFilter },
        { provide: APP_INTERCEPTOR, useClass: ActorInterceptor },
        { provide: APP_INTERCEPTOR, useClass: CsvInterceptor },
        { provide: APP_INTERCEPTOR, useClass: IdempotencyInterceptor },
        AccountProjector,
        AccountWriter,
        AdminGuard,
        ActList,
        AuditBooker,
        AuditDrain,
        AuditReader,
        AuditRepository,
        AuditVerifier,
        CampaignRevoker,
        BalanceRepository,
        Beats,
        BooksMetrics,
        BudgetReturner,
        CallHistory,
        CallList,
        CampaignPromises,
        CampaignService,
        ClaimBooks,
        ClaimList,
        ClaimReplacer,
        ClaimService,
        Claimants,
        CodeService,
        CampaignFigures,
        CheckpointSigner,
        createDeskProcessor(config, DESK_QUEUE),
        createDeskProcessor(config, ERRANDS_QUEUE),
        Desk,
        DoorKeeper,
        DoorSwitch,
        Downloads,
        DueWork,
        FiguresMetrics,
        FiguresSampler,
        FirstUseRepository,
        GithubClient,
        HeldCallList,
        HolderDesk,
        HolderErasure,
        HoldSweeper,
        IdempotencyStore,
        InviteSender,
        IdempotencySweeper,
        JournalBooker,
        JournalDrain,
        Needs,
        KeyBulk,
        KeyReader,
        KeyService,
        LaneBoard,
        LedgerRepository,
        LedgerVerifier,
        LinkProjector,
        LinkService,
        LinkTester,
        LinkWatch,
        LiveBalanceReader,
        LiveEvents,
        LiveFigures,
        Mailer,
        NoticeSender,
        OverviewReader,
        OpenedCalls,
        PartitionMaker,
        PendingProjections,
        PolicyList,
        ProjectLimits,
        ProjectionMetrics,
        ReconcileMetrics,
        ReconcileRepository,
        Reconciler,
        RecordMetrics,
        RecordWatch,
        RedisRebuild,
        RetentionSweeper,
        ReviewQueue,
        SafetyDesk,
        Sessions,
        SettingsReader,
        SignInLinks,
        StatsFolder,
        StatsReader,
        StatementList,
        StrikeRepository,
        StreamHub,
        ThresholdReplay,
        TrafficRepository,
        UnitOfWork,
        VisitorActs,
        VisitorEraser,
        VisitorFinder,
        VisitorList,
        VisitorVault,
        Waitlist,
      ],
    };
  }
}
