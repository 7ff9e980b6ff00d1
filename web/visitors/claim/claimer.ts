import type { Challenge, Solution } from 'altcha-lib/types';
import type { ClaimAnswer, ClaimRequest } from '#libs/contracts/claims.js';
import { ask, isPassing, newIdempotencyKey, persist, type Answer, type Fault } from '../../shared/api.js';
import { solve } from './pow.js';

export type Phase =
  | { is: 'solving'; tries: number; usual: number }
  | { is: 'minting' }
  | { is: 'waiting'; waitMs: number; retry: number };

interface Proof {
  challenge: Challenge;
  solution: Solution;
}

/** A proof needs at most so many tries, and four times as many at each step that the server makes it dearer. */
const MOST_TRIES = 400;
const DEARER = 4;
/** The server gives a new challenge where a proof is too old or used. */
const RENEWALS = 2;
const NOT_SOLVED: Fault = {
  status: 0,
  code: 'pow_invalid',
  message: 'This browser could not solve the proof of work. Reload the page, or use another browser.',
  details: {},
  retryAfterMs: null,
  requestId: null,
};

/** Claims keys of one link. It solves the proof while the visitor reads, so that one press is enough. */
export class Claimer {
  private proof: Promise<Proof | null> = Promise.resolve(null);
  private tries = 0;
  private usual = MOST_TRIES;
  private isSolved = true;
  private tell: (phase: Phase) => void = () => undefined;
  /** Names the claim, so that a repeat gets the same key. */
  private idempotencyKey: string;

  constructor(private readonly link: string) {
    this.idempotencyKey = pendingKey(link) ?? newIdempotencyKey();
  }

  /** Begins to solve a challenge. */
  prepare(challenge: Challenge): void {
    this.tries = 0;
    this.isSolved = false;
    this.usual = MOST_TRIES * DEARER ** Number(challenge.parameters.data?.step ?? 0);
    this.proof = solve(challenge, (tries) => {
      this.tries = tries;
      this.tell({ is: 'solving', tries, usual: this.usual });
    }).then(
      (solution) => ({ challenge, solution }),
      () => null,
    );
    void this.proof.then(() => (this.isSolved = true));
  }

  /** `by`: what the gate asks for; null: a proof of work, which this solves. */
  async claim(by: ClaimRequest | null, tell: (phase: Phase) => void): Promise<Answer<ClaimAnswer>> {
    keepPending(this.link, this.idempotencyKey);
    const answer = await this.claimWith(by, tell);
    this.tell = () => undefined;
    // Only where nobody knows whether a key was made does the next press name the same claim.
    if (answer.ok || !isPassing(answer.fault)) {
      dropPending();
      this.idempotencyKey = newIdempotencyKey();
    }
    return answer;
  }

  /** Another virtual key for the key of whoever signed in. */
  replace(by: ClaimRequest, tell: (phase: Phase) => void): Promise<Answer<ClaimAnswer>> {
    return this.send(by, tell, 'replace', newIdempotencyKey());
  }

  private async claimWith(by: ClaimRequest | null, tell: (phase: Phase) => void): Promise<Answer<ClaimAnswer>> {
    if (by !== null) return this.send(by, tell);
    for (let renewal = 0; ; renewal++) {
      this.tell = tell;
      if (!this.isSolved) tell({ is: 'solving', tries: this.tries, usual: this.usual });
      const pow = await this.proof;
      this.tell = () => undefined;
      if (pow === null) return { ok: false, fault: NOT_SOLVED };
      const answer = await this.send({ pow: { challenge: { ...pow.challenge }, solution: { ...pow.solution } } }, tell);
      const fresh = answer.ok ? undefined : answer.fault.details.challenge;
      if (fresh !== undefined) this.prepare(fresh as Challenge);
      if (answer.ok || answer.fault.code !== 'pow_invalid' || fresh === undefined || renewal === RENEWALS)
        return answer;
    }
  }

  private send(
    body: ClaimRequest,
    tell: (phase: Phase) => void,
    what: 'claims' | 'replace' = 'claims',
    idempotencyKey = this.idempotencyKey,
  ): Promise<Answer<ClaimAnswer>> {
    return persist(
      () => {
        tell({ is: 'minting' });
        return ask<ClaimAnswer>(`/claim/v1/links/${encodeURIComponent(this.link)}/${what}`, {
          method: 'POST',
          body,
          idempotencyKey,
          withCookie: true,
        });
      },
      (waitMs, retry) => tell({ is: 'waiting', waitMs, retry }),
    );
  }
}

const PENDING_AS = 'daypass-claim';
/** The server knows a claim's name for ten minutes. */
const PENDING_LIFE_MS = 540_000;

/** The name of a claim whose answer never came: a reload of the page must not make a second key of it. */
function pendingKey(link: string): string | null {
  try {
    const { link: of, key, atMs } = JSON.parse(sessionStorage.getItem(PENDING_AS) ?? '{}') as Record<string, unknown>;
    return of === link && typeof key === 'string' && Number(atMs) > Date.now() - PENDING_LIFE_MS ? key : null;
  } catch {
    return null;
  }
}

function keepPending(link: string, key: string): void {
  try {
    sessionStorage.setItem(PENDING_AS, JSON.stringify({ link, key, atMs: Date.now() }));
  } catch {
    // Storage is closed to this page: the name holds until the page is left.
  }
}

function dropPending(): void {
  try {
    sessionStorage.removeItem(PENDING_AS);
  } catch {
    // It was never kept.
  }
}
