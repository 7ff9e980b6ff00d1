import { Inject, Injectable } from '@nestjs/common';
import { createChallenge, randomInt, verifySolution, type Challenge, type Solution } from 'altcha-lib';
import { deriveKey } from 'altcha-lib/algorithms/pbkdf2';
import { z } from 'zod';
import type { DaypassConfig } from '#libs/config/config.js';
import { CONFIG } from '#libs/service/platform.tokens.js';
import { EFFORTS, type Step } from '../domain/claim-brake.js';

/** PBKDF2's iterations of one try. */
const COST = 500;
const TRIES_LEAST = 200;
const TRIES_MOST = 400;
/** So long a page may stay open before its challenge lapses. */
export const CHALLENGE_LIFE_MS = 600_000;

const challengeForm = z.object({
  parameters: z.looseObject({
    expiresAt: z.number(),
    data: z.object({ link: z.string(), step: z.int().min(0) }),
  }),
  signature: z.string().min(1).max(200),
});
const solutionForm = z.object({ counter: z.number(), derivedKey: z.string().max(200) });

export type PowFault = 'missing' | 'expired' | 'too_easy' | 'wrong' | 'used';
type Checked = { ok: true; signature: string; lifeMs: number } | { ok: false; why: Exclude<PowFault, 'used'> };

/**
 * A speed bump before each claim, in the form of altcha-lib 2. Nothing of a challenge is stored: its signature covers it,
 * with the link and the time of its end.
 *
 * `challenge`: `{ parameters: { algorithm: 'PBKDF2/SHA-256', cost: 500, keyLength: 32, keyPrefix, keySignature, nonce, salt,
 * expiresAt (s), data: { link, step } }, signature }`; `keyPrefix`, `nonce`, `salt` in hex. The page tries the counters
 * from 0 on. A try derives 32 bytes from the password `nonce ‖ counter (4 bytes, big endian)` with the salt, and fits when
 * they begin with `keyPrefix`.
 * `solution`: `{ counter, derivedKey }`, with all 32 bytes in lower-case hex. The claim sends both as
 * `pow: { challenge, solution }`, the challenge unchanged.
 */
@Injectable()
export class ProofOfWork {
  private readonly secrets: { hmacSignatureSecret: string; hmacKeySignatureSecret: string };

  constructor(@Inject(CONFIG) { secrets }: DaypassConfig) {
    this.secrets = {
      hmacSignatureSecret: `${secrets.powSecret} challenge`,
      // With it the server needs to derive nothing when it checks a solution.
      hmacKeySignatureSecret: `${secrets.powSecret} key`,
    };
  }

  challenge(link: string, step: Step): Promise<Challenge> {
    return createChallenge({
      algorithm: 'PBKDF2/SHA-256',
      cost: COST,
      // More tries rather than dearer ones: the server derives the key of one of them.
      counter: randomInt(TRIES_MOST, TRIES_LEAST) * EFFORTS[step],
      data: { link, step },
      deriveKey,
      expiresAt: Math.floor((Date.now() + CHALLENGE_LIFE_MS) / 1_000),
      ...this.secrets,
    });
  }

  /** `leastStep`: an easier challenge is from before the brake. `lifeMs`: nobody may use the proof again within it. */
  async check(
    pow: { challenge: unknown; solution: unknown } | undefined,
    link: string,
    leastStep: Step,
  ): Promise<Checked> {
    if (pow === undefined) return { ok: false, why: 'missing' };
    const challenge = challengeForm.safeParse(pow.challenge);
    const solution = solutionForm.safeParse(pow.solution);
    if (!challenge.success || !solution.success) return { ok: false, why: 'wrong' };
    const { parameters, signature } = challenge.data;
    const { verified, expired } = await verifySolution({
      challenge: pow.challenge as Challenge,
      solution: solution.data satisfies Solution,
      deriveKey,
      ...this.secrets,
    });
    if (expired) return { ok: false, why: 'expired' };
    if (!verified || parameters.data.link !== link) return { ok: false, why: 'wrong' };
    if (parameters.data.step < leastStep) return { ok: false, why: 'too_easy' };
    return { ok: true, signature, lifeMs: Math.max(1_000, parameters.expiresAt * 1_000 - Date.now() + 1_000) };
  }
}
