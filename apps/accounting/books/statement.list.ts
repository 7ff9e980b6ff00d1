import { Injectable } from '@nestjs/common';
import { InjectDataSource } from '@nestjs/typeorm';
import { DataSource } from 'typeorm';
import { formatUsd } from '#libs/money/nano.js';
import { inBatches } from '../batches.js';

/** A month of all calls takes longer than other questions do. */
const STATEMENT_TIMEOUT_MS = 300_000;
const AMOUNTS = ['granted', 'returned', 'billed', 'refunded', 'absorbed', 'spent'] as const;
type Amount = (typeof AMOUNTS)[number];

/** As in `ledger.statement_by_key`, of one period. `spent`: what visitors paid. `own`: the account of the statement. */
const movements = (own: string): string => `
  coalesce(sum(entry.amount_nano) FILTER (WHERE t.kind IN ('fund', 'grant') AND entry.account = ${own}), 0) AS granted,
  coalesce(-sum(entry.amount_nano) FILTER (WHERE t.kind IN ('return', 'expire') AND entry.account = ${own}), 0) AS returned,
  coalesce(sum(entry.amount_nano) FILTER (WHERE t.kind IN ('post', 'presume') AND entry.account LIKE 'upstream:%'), 0) AS billed,
  coalesce(-sum(entry.amount_nano) FILTER (WHERE t.kind = 'correct' AND entry.account LIKE 'upstream:%'), 0) AS refunded,
  coalesce(-sum(entry.amount_nano) FILTER (WHERE entry.account = 'absorbed'), 0) AS absorbed,
  coalesce(sum(entry.amount_nano) FILTER (WHERE entry.account LIKE 'upstream:%' OR entry.account = 'absorbed'), 0) AS spent,
  count(DISTINCT t.id) AS transfers, count(DISTINCT t.request_id) AS calls, min(t.at) AS first_at, max(t.at) AS last_at`;
const TRANSFERS = `ledger.transfers t JOIN ledger.entries entry ON entry.transfer_id = t.id AND entry.period = t.period`;
const WITHIN = `t.at >= coalesce($1::timestamptz, '-infinity') AND t.at < coalesce($2::timestamptz, 'infinity')`;

interface Sums extends Record<Amount | 'transfers' | 'calls', string> {
  first_at: Date;
  last_at: Date;
}
interface KeySums extends Sums {
  key_id: string;
  campaign: string;
  label: string;
  prefix: string;
  status: string;
}

type Shown = Record<`${Amount}_usd`, string> & { calls: number; first_at: string; last_at: string };
export type KeyStatement = Shown & Pick<KeySums, 'key_id' | 'campaign' | 'label' | 'prefix' | 'status'>;
export type CampaignStatement = Shown & { campaign: string; name: string; status: string; funded_usd: string };

const SHOWN = [...AMOUNTS.map((name) => `${name}_usd` as const), 'calls', 'first_at', 'last_at'] as const;
export const KEY_STATEMENT = ['campaign', 'key_id', 'label', 'prefix', 'status', ...SHOWN] as const;
export const CAMPAIGN_STATEMENT = ['campaign', 'name', 'status', 'funded_usd', ...SHOWN] as const;

interface Between {
  since?: Date | undefined;
  until?: Date | undefined;
}

/** What the ledger moved within a period: a row for each key, or for each campaign, that it moved anything of. */
@Injectable()
export class StatementList {
  constructor(@InjectDataSource() private readonly source: DataSource) {}

  async *byKey({ since, until }: Between): AsyncGenerator<KeyStatement> {
    const rows = inBatches<KeySums, string>(
      (after, count) =>
        this.source.query<KeySums[]>(
          `WITH asked AS MATERIALIZED (SELECT id, campaign_id, label, prefix, status FROM access.keys WHERE id > $3 ORDER BY id LIMIT $4)
           SELECT asked.id AS key_id, campaign.slug AS campaign, asked.label, asked.prefix, asked.status, sums.*
             FROM asked JOIN access.campaigns campaign ON campaign.id = asked.campaign_id
             CROSS JOIN LATERAL (SELECT ${movements(`'key:' || asked.id`)} FROM ${TRANSFERS} WHERE t.key_id = asked.id AND ${WITHIN}) sums
            ORDER BY asked.id`,
          [since ?? null, until ?? null, after ?? '', count],
        ),
      ({ key_id: id }) => id,
    );
    for await (const { key_id, campaign, label, prefix, status, ...sums } of rows)
      if (sums.transfers !== '0') yield { campaign, key_id, label, prefix, status, ...show(sums) };
  }

  async *byCampaign({ since, until }: Between): AsyncGenerator<CampaignStatement> {
    type Row = Sums & { campaign: string; name: string; status: string; funded: string };
    const rows = await this.source.transaction(async (manager) => {
      await manager.query(`SET LOCAL statement_timeout = '${STATEMENT_TIMEOUT_MS}ms'`);
      // Without statistics of a fresh month, the planner takes it for empty and compares each row with each.
      await manager.query('SET LOCAL enable_nestloop = off');
      return manager.query<Row[]>(
        `SELECT campaign.slug AS campaign, campaign.name, campaign.status, sums.*
           FROM access.campaigns campaign JOIN (
             SELECT t.campaign_id, coalesce(-sum(entry.amount_nano) FILTER (WHERE entry.account = 'operator'), 0) AS funded,
                    ${movements(`'key:' || t.key_id`)} FROM ${TRANSFERS} WHERE ${WITHIN} GROUP BY t.campaign_id
           ) sums ON sums.campaign_id = campaign.id ORDER BY campaign.slug`,
        [since ?? null, until ?? null],
      );
    });
    for (const { campaign, name, status, funded, ...sums } of rows)
      yield { campaign, name, status, funded_usd: formatUsd(BigInt(funded)), ...show(sums) };
  }
}

function show(sums: Sums): Shown {
  const amounts = Object.fromEntries(AMOUNTS.map((name) => [`${name}_usd`, formatUsd(BigInt(sums[name]))]));
  return {
    ...(amounts as Record<`${Amount}_usd`, string>),
    calls: Number(sums.calls),
    first_at: sums.first_at.toISOString(),
    last_at: sums.last_at.toISOString(),
  };
}
