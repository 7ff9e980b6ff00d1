import { Inject, Injectable } from '@nestjs/common';
import type { Redis } from 'ioredis';
import { redisKeys } from '#libs/redis/keys.js';
import { defineScript, type Script } from '#libs/redis/scripts.js';
import { MONEY_REDIS } from '#libs/service/platform.tokens.js';
import { CLAIM_LIFE_MS, WRONG_CODES_PER_HOUR } from './claim.store.js';

/** The digits of a mail work for so long. */
export const MAIL_CODE_LIFE_MS = 900_000;
/** Wrong digits for one mail. */
export const MAIL_TRIES = 5;
export const MAILS_PER_DAY_OF_ADDRESS = 3;
export const MAILS_PER_HOUR = 200;
export const MAILS_PER_HOUR_OF_NETWORK = 20;
/** Addresses that one network leaves for a waitlist within an hour, and all of them. */
const WAITS_PER_HOUR_OF_NETWORK = 20;
const WAITS_PER_HOUR = 1_000;
const HOUR_MS = 3_600_000;
const DAY_MS = 86_400_000;

export type AskedMail = { code: 'ok' | 'silent' } | { code: 'network' | 'total'; waitMs: number };
export type CheckedCode =
  | { code: 'ok' | 'gone' | 'spent' | 'used' }
  | { code: 'guesses'; waitMs: number }
  | { code: 'wrong'; triesLeft: number };

/** What bounds mails, and their digits, in Redis. It has hashes only. */
@Injectable()
export class MailStore {
  private readonly askScript: Script;
  private readonly checkScript: Script;

  constructor(@Inject(MONEY_REDIS) redis: Redis) {
    this.askScript = defineScript(redis, 'ask-mail');
    this.checkScript = defineScript(redis, 'check-mail-code');
  }

  /** `address`, `code`: hashes that name the address, and the address at this link. */
  askFor(of: { address: string; code: string; tag: string }, hash: string, mayClaim: boolean): Promise<AskedMail> {
    const keys = [
      windowOf('mails', of.tag),
      windowOf('mails', 'all'),
      windowOf('address', of.address),
      redisKeys.mailCode(of.code),
    ];
    const perAddress = mayClaim ? MAILS_PER_DAY_OF_ADDRESS : 0;
    return this.ask(keys, [MAILS_PER_HOUR_OF_NETWORK, MAILS_PER_HOUR, perAddress], hash);
  }

  /** An address for a waitlist, which gets no mail now: `silent`, or too many came. */
  wait(tag: string): Promise<Exclude<AskedMail, { code: 'ok' | 'silent' }> | { code: 'silent' }> {
    const keys = [windowOf('waits', tag), windowOf('waits', 'all'), windowOf('address', ''), redisKeys.mailCode('')];
    return this.ask(keys, [WAITS_PER_HOUR_OF_NETWORK, WAITS_PER_HOUR, 0], '') as Promise<
      Exclude<AskedMail, { code: 'ok' | 'silent' }> | { code: 'silent' }
    >;
  }

  private async ask(keys: string[], most: number[], hash: string): Promise<AskedMail> {
    const answer = await this.askScript(keys, [...most, HOUR_MS, DAY_MS, hash, MAIL_CODE_LIFE_MS]);
    const [word, wait] = answer as [AskedMail['code'], string | undefined];
    return word === 'ok' || word === 'silent' ? { code: word } : { code: word, waitMs: Math.max(1, Number(wait)) };
  }

  async check(of: { code: string; tag: string }, hash: string, claimName: string): Promise<CheckedCode> {
    const keys = [redisKeys.mailCode(of.code), windowOf('codes', of.tag)];
    const args = [hash, claimName, MAIL_TRIES, WRONG_CODES_PER_HOUR, HOUR_MS, CLAIM_LIFE_MS];
    const [word, number] = (await this.checkScript(keys, args)) as [CheckedCode['code'], string | undefined];
    if (word === 'guesses') return { code: word, waitMs: Math.max(1, Number(number)) };
    return word === 'wrong' ? { code: word, triesLeft: Number(number) } : { code: word };
  }
}

const windowOf = (what: string, of: string): string => redisKeys.claimWindow(`${what}:${of}`);
