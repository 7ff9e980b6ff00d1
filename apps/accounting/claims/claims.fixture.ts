import { randomBytes } from 'node:crypto';
import { linkStateSchema, readCode, type Identity, type LinkState } from '#libs/contracts/claims.js';
import { redisKeys } from '#libs/redis/keys.js';
import { hashCode } from '#libs/secrets/claim-code.js';
import { createVirtualKey, hashVirtualKey, visiblePrefix } from '#libs/secrets/virtual-key.js';
import type { AccountingFixture, AdminAnswer } from '../accounting.fixture.js';
import type { ClaimRequest } from './claim.service.js';

let campaigns = 0;

/** A campaign whose keys have a budget of 0.10 dollars. */
export function claimable(accounting: AccountingFixture, terms: object = {}): Promise<AdminAnswer['body']> {
  const key_defaults = { budget_usd: '0.10', ttl_seconds: 3_600, limits: { rpm: 20 } };
  return accounting.createCampaign(`claims-${++campaigns}`, { key_defaults, ...terms });
}

export async function createLink(
  accounting: AccountingFixture,
  slug: string,
  terms: object = {},
): Promise<AdminAnswer['body']> {
  const { status, body } = await accounting.admin('POST', `/admin/v1/campaigns/${slug}/links`, {
    name: 'README',
    ...terms,
  });
  if (status !== 201) throw new Error(JSON.stringify(body));
  return body;
}

/** The codes of a link, as people type them. */
export async function createCodes(accounting: AccountingFixture, link: string, request: object): Promise<string[]> {
  const { status, body } = await accounting.admin('POST', `/admin/v1/links/${link}/codes`, request);
  if (status !== 201) throw new Error(JSON.stringify(body));
  return (body.data as { code: string }[]).map(({ code }) => code);
}

/** What ingress asks for a visitor, and the virtual key that it made. */
export function ask(
  accounting: AccountingFixture,
  link: { id: string },
  {
    code,
    claim = randomBytes(24).toString('base64url'),
    identity = null,
  }: { code?: string; claim?: string; identity?: Identity | null } = {},
): { token: string; request: ClaimRequest } {
  const { tokenPepper, codePepper } = accounting.config.secrets;
  const token = createVirtualKey();
  return {
    token,
    request: {
      kind: 'claim',
      claim,
      link: link.id,
      token_hash: hashVirtualKey(token, tokenPepper),
      prefix: visiblePrefix(token),
      code_hash: code === undefined ? null : hashCode(readCode(code) ?? code, codePepper),
      identity,
      ip_tag: 'tag',
    },
  };
}

/** The link as ingress reads it; null: Redis has none. */
export async function stateOf(accounting: AccountingFixture, token: string): Promise<LinkState | null> {
  const text = await accounting.redis.get(redisKeys.link(token));
  return text === null ? null : linkStateSchema.parse(JSON.parse(text));
}
