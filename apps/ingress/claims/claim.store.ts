import { Inject, Injectable } from '@nestjs/common';
import type { Redis } from 'ioredis';
import { linkStateSchema, type LinkState } from '#libs/contracts/claims.js';
import { campaignStateSchema, type CampaignState } from '#libs/contracts/key-state.js';
import { redisKeys } from '#libs/redis/keys.js';
import { RunId } from '#libs/redis/run-id.js';
import { defineBinaryScript, defineScript, type Script } from '#libs/redis/scripts.js';
import { MONEY_REDIS } from '#libs/service/platform.tokens.js';

/** A repeat under the same Idempotency-Key gets the same virtual key for so long. */
export const CLAIM_LIFE_MS = 600_000;
/** So often one claim may be asked for again within that time. */
export const REPEATS_MOST = 20;
/** So many wrong codes one address may send within an hour. */
export const WRONG_CODES_PER_HOUR = 10;
const HOUR_MS = 3_600_000;
const NO_CLAIM = '';

export interface FoundLink {
  link: LinkState;
  /** null: Redis does not know it, so that the link has ended. */
  campaign: CampaignState | null;
  isShut: boolean;
  isRecovering: boolean;
  nowMs: number;
  /** Claims of the campaign within the hour. */
  claims: number;
  /** The sealed virtual key of the named claim, where it is let in already. */
  sealed: Buffer | null;
}

/** A claim on its way in. */
export interface ClaimTicket {
  /** Names the claim: the hash of its Idempotency-Key. */
  name: string;
  linkId: string;
  campaignId: string;
  tag: string;
}

export interface ClaimBounds {
  /** Claims of this link that one address may make in a day; 0: no bound. */
  addressMost: number;
  /** Milliseconds until the day of the address' tag ends. */
  dayLeftMs: number;
  campaignMost: number;
  /** The link asks for a one-time code. */
  asksForCode: boolean;
  proof: { signature: string; lifeMs: number } | null;
}

export type TakenClaim =
  | { code: 'ok'; sealed: Buffer; repeated: boolean }
  | { code: 'recovering' | 'paused' | 'used' | 'address' }
  | { code: 'repeats' | 'guesses' | 'campaign'; waitMs: number };

/** Claim links, and the windows that bound their claims, in Redis. */
@Injectable()
export class ClaimStore {
  private readonly readScript: Script;
  private readonly takeScript: Script;
  private readonly returnScript: Script;
  private readonly run: RunId;

  constructor(@Inject(MONEY_REDIS) redis: Redis) {
    this.run = RunId.of(redis);
    this.readScript = defineBinaryScript(redis, 'read-link');
    this.takeScript = defineBinaryScript(redis, 'take-claim');
    this.returnScript = defineScript(redis, 'return-claim');
  }

  /** Writes nothing. null: there is no such link; `recovering`: accounting mends Redis, and the link is not there yet. */
  async find(token: string, claimName = NO_CLAIM): Promise<FoundLink | null | 'recovering'> {
    const keys = [redisKeys.epoch, redisKeys.link(token), redisKeys.doorSwitch, redisKeys.claim(claimName)];
    const args = [await this.run.get(), redisKeys.campaignPrefix, windowOf('campaign', '')];
    const [phase, link, door, flat, now, claims, sealed, counts] = (await this.readScript(keys, args)) as Buffer[] & {
      3: Buffer[];
    };
    const isRecovering = String(phase) !== 'open';
    if (String(link) === '') return isRecovering ? 'recovering' : null;
    return {
      link: linkStateSchema.parse(JSON.parse(String(link))),
      campaign: flat!.length === 0 ? null : campaignStateSchema.parse(fieldsOf(flat as unknown as Buffer[])),
      isShut: String(door) === 'shut',
      isRecovering,
      nowMs: Number(String(now)),
      claims: Number(String(claims)),
      sealed: String(counts) === '1' ? sealed! : null,
    };
  }

  async take(ticket: ClaimTicket, sealed: Buffer, bounds: ClaimBounds): Promise<TakenClaim> {
    const { proof } = bounds;
    const keys = [
      redisKeys.epoch,
      redisKeys.doorSwitch,
      redisKeys.claim(ticket.name),
      redisKeys.pow(proof?.signature ?? ''),
      addressCount(ticket),
      windowOf('campaign', ticket.campaignId),
      guessesOf(ticket.tag),
    ];
    const args = [
      await this.run.get(),
      sealed,
      CLAIM_LIFE_MS,
      proof === null ? '' : ticket.name,
      Math.ceil(proof?.lifeMs ?? 0),
      bounds.addressMost,
      Math.ceil(bounds.dayLeftMs),
      bounds.campaignMost,
      bounds.asksForCode ? WRONG_CODES_PER_HOUR : 0,
      REPEATS_MOST,
    ];
    const [code, first, second] = (await this.takeScript(keys, args)) as Buffer[];
    const word = String(code) as TakenClaim['code'];
    switch (word) {
      case 'ok':
        return { code: word, sealed: first!, repeated: String(second) === '1' };
      case 'repeats':
      case 'guesses':
      case 'campaign':
        return { code: word, waitMs: Math.max(1, Number(String(first))) };
      case 'recovering':
      case 'paused':
      case 'used':
      case 'address':
        return { code: word };
    }
  }

  /** Accounting refused the claim, so that it counts against no window. Returns the wrong codes of the address. */
  async giveBack(ticket: ClaimTicket, isWrongCode: boolean): Promise<number> {
    const window = windowOf('campaign', ticket.campaignId);
    const keys = [redisKeys.claim(ticket.name), addressCount(ticket), window, guessesOf(ticket.tag)];
    return Number(await this.returnScript(keys, [isWrongCode ? 1 : 0, HOUR_MS]));
  }
}

const windowOf = (what: string, of: string): string => redisKeys.claimWindow(`${what}:${of}`);
const addressCount = ({ tag, linkId }: ClaimTicket): string => windowOf('address', `${linkId}:${tag}`);
const guessesOf = (tag: string): string => windowOf('codes', tag);

function fieldsOf(flat: readonly Buffer[]): Record<string, string> {
  const record: Record<string, string> = {};
  for (let i = 0; i + 1 < flat.length; i += 2) record[String(flat[i])] = String(flat[i + 1]);
  return record;
}
