import type { SelectQueryBuilder } from 'typeorm';
import type { Key } from '../store/entities/key.entity.js';

interface KeyFilter {
  campaign?: string | undefined;
  status?: 'active' | 'suspended' | 'revoked' | 'expired' | undefined;
  label?: string | undefined;
  /** A claimant's id. */
  claimant?: string | undefined;
  /** A claim link's id. */
  link?: string | undefined;
  /** The begin of the visible prefix, or a part of the label in any case. */
  q?: string | undefined;
  /** Of the act that gave the key its status. */
  note?: string | undefined;
  /** Keys with strikes since a person reinstated them last. */
  flagged?: boolean | undefined;
}

const HAS_STRIKES = `EXISTS (SELECT FROM access.strikes strike WHERE strike.key_id = key.id AND strike.at > coalesce(key.strikes_since, '-infinity'))`;

/** Narrows a query of keys, whose alias is `key`. */
export function filterKeys(query: SelectQueryBuilder<Key>, filter: KeyFilter): void {
  const { campaign, status, label, claimant, link, q, note, flagged } = filter;
  if (campaign !== undefined)
    query.andWhere('key.campaign_id = (SELECT id FROM access.campaigns WHERE slug = :campaign)', { campaign });
  if (label !== undefined) query.andWhere('key.label = :label', { label });
  if (claimant !== undefined) query.andWhere('key.claimant_id = :claimant', { claimant });
  if (link !== undefined) query.andWhere('key.link_id = :link', { link });
  if (flagged) query.andWhere(HAS_STRIKES);
  if (note !== undefined) query.andWhere('key.status_note = :note', { note });
  if (q !== undefined)
    query.andWhere(`(starts_with(key.prefix, :q) OR strpos(lower(key.label), lower(:q)) > 0)`, { q });
  if (status === 'expired') query.andWhere(`key.status = 'active' AND key.expires_at <= now()`);
  else if (status === 'active')
    query.andWhere(`key.status = 'active' AND (key.expires_at IS NULL OR key.expires_at > now())`);
  else if (status !== undefined) query.andWhere('key.status = :status', { status });
}
