import { Inject, Injectable } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { createHmac } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { DaypassConfig } from '#libs/config/config.js';
import {
  claimedSchema,
  claimRequestSchema,
  DESK_WAITING_MAX,
  readCode,
  replaceRequestSchema,
  type ClaimAnswer,
  type Claimed,
  type ClaimRequest,
  type DeskAnswer,
  type Identity,
  type LinkState,
} from '#libs/contracts/claims.js';
import { DaypassError, ERRORS } from '#libs/contracts/errors.js';
import { hashCode } from '#libs/secrets/claim-code.js';
import { ContentBox } from '#libs/secrets/content-box.js';
import { createVirtualKey, hashVirtualKey, visiblePrefix } from '#libs/secrets/virtual-key.js';
import { KeyTurns } from '#libs/pacing/key.turns.js';
import { CONFIG } from '#libs/service/platform.tokens.js';
import { DeskClient, deskRefusal } from '../desk/desk.client.js';
import { claimsMost, leastStepOf, stepOf } from '../domain/claim-brake.js';
import { mayIdentify, unknownLink } from '../domain/claim-link.js';
import { mayClaimFrom } from '../domain/claim-origin.js';
import { tagEndsInMs } from '../domain/client-address.js';
import { overloaded, paused, recovering } from '../refusals.js';
import { ClaimAddress } from './claim.address.js';
import * as refused from './claim.refusals.js';
import { ClaimStore, WRONG_CODES_PER_HOUR, type ClaimBounds, type ClaimTicket, type FoundLink } from './claim.store.js';
import { Identities } from './identities.js';
import { LinkViews, refusalOfFound, stateOfFound } from './link.views.js';
import { ProofOfWork, type PowFault } from './proof.of.work.js';
import { readBody } from './small.body.js';

/** 128 bits have 22 characters in base64. */
const NAME_FORM = /^[\x20-\x7e]{22,255}$/;

/**
 * A workshop claims within one second. One claim after the other takes as long in all, and calls go on between them. Links
 * do not wait for each other.
 */
const TURNS = {
  most: 4,
  mostOfKey: 1,
  waiting: 2 * DESK_WAITING_MAX,
  waitingOfKey: DESK_WAITING_MAX,
  tooMany: overloaded,
};
/** A claim gives its turn on after so long: the next does not wait for slow books. */
const TURN_MAX_MS = 500;

/** Who asks, by request, and the answer, which may sign the visitor in. */
interface Visit {
  request: FastifyRequest;
  reply: FastifyReply;
}

interface Asked extends Visit {
  ticket: ClaimTicket;
  found: FoundLink;
  body: ClaimRequest;
}

/**
 * Gives out the key of a claim link. Ingress makes the virtual key, and accounting, which never sees it, books what it may
 * spend. A repeat under the same Idempotency-Key gets the same key.
 */
@Injectable()
export class ClaimService {
  private readonly turns = new KeyTurns(TURNS);

  constructor(
    @Inject(CONFIG) private readonly config: DaypassConfig,
    private readonly views: LinkViews,
    private readonly store: ClaimStore,
    private readonly pow: ProofOfWork,
    private readonly address: ClaimAddress,
    private readonly box: ContentBox,
    private readonly desk: DeskClient,
    private readonly identities: Identities,
  ) {}

  /** @throws DaypassError that says why there is no key */
  async claim(token: string, visit: Visit): Promise<ClaimAnswer> {
    const name = this.nameOf(token, visit.request.headers['idempotency-key']);
    const body = readBody(claimRequestSchema, visit.request.body);
    return this.inLine(token, () => this.inTurn(token, visit, name, body));
  }

  /** A claimant who lost the key gets another virtual key for it. @throws DaypassError that says why not */
  async replace(token: string, visit: Visit): Promise<ClaimAnswer> {
    const name = this.nameOf(`replace ${token}`, visit.request.headers['idempotency-key']);
    const body = readBody(replaceRequestSchema, visit.request.body);
    return this.inLine(token, () => this.replaceInTurn(token, visit, name, body));
  }

  private inLine(token: string, work: () => Promise<ClaimAnswer>): Promise<ClaimAnswer> {
    return this.turns
      .run(token, async () => {
        const answer = work();
        await Promise.race([answer.catch(() => undefined), sleep(TURN_MAX_MS, undefined, { ref: false })]);
        return { answer };
      })
      .then(({ answer }) => answer);
  }

  private async inTurn(token: string, visit: Visit, name: string, body: ClaimRequest): Promise<ClaimAnswer> {
    const asked = await this.asked(token, visit, name, body);
    const { link } = asked.found;
    const { sealed, identity } = await this.letIn(asked);
    const virtualKey = this.box.open(sealed, sealOf(name));
    const claimed = await this.book(asked, virtualKey, identity);
    return this.answer(virtualKey, claimed, link, this.address.baseUrlOf(visit.request));
  }

  private async asked(token: string, visit: Visit, name: string, body: ClaimRequest): Promise<Asked> {
    const { request } = visit;
    const found = await this.views.find(token, request, name);
    if (found === null) throw unknownLink();
    const { link } = found;
    if (!mayClaimFrom(request.headers, link.origins)) throw refused.originNotAllowed(request.headers.origin);
    const tag = this.address.tagOf(request, Date.now());
    return { ...visit, ticket: { name, linkId: link.id, campaignId: link.campaign, tag }, found, body };
  }

  private async replaceInTurn(token: string, visit: Visit, name: string, body: ClaimRequest): Promise<ClaimAnswer> {
    const asked = await this.asked(token, visit, name, body);
    const { found } = asked;
    const { link } = found;
    if (!mayIdentify(stateOfFound(found))) throw refusalOfFound(found);
    const identity = await this.identities.of(asked);
    if (identity === null) throw refused.nobodyKnown();
    // It is no further claim of its network, so that none is given back for it either.
    const ticket = { ...asked.ticket, linkId: `replace:${link.id}` };
    const sealed = await this.take(found, ticket, { addressMost: 0, asksForCode: false, proof: null });
    const virtualKey = this.box.open(sealed, sealOf(name));
    const answer = await this.desk.ask({
      kind: 'claim.replace',
      link: link.id,
      token_hash: hashVirtualKey(virtualKey, this.config.secrets.tokenPepper),
      prefix: visiblePrefix(virtualKey),
      identity,
    });
    if (!answer.ok) throw await this.notBooked(ticket, link, answer);
    return this.answer(virtualKey, claimedSchema.parse(answer.data), link, this.address.baseUrlOf(visit.request));
  }

  private nameOf(token: string, header: string | string[] | undefined): string {
    if (typeof header !== 'string' || !NAME_FORM.test(header)) throw refused.badIdempotencyKey();
    return createHmac('sha256', this.config.secrets.claimPepper).update(`${token} ${header}`).digest('base64url');
  }

  /** Returns the sealed virtual key of the claim, and who claims, after all that is checked before accounting. */
  private async letIn(asked: Asked): Promise<{ sealed: Buffer; identity: Identity | null }> {
    const { ticket, found, body } = asked;
    const { link } = found;
    // The claim came in before, whatever the link has become since then.
    const proof = found.sealed === null ? await this.checkedProof(found, body) : null;
    const asksForCode = link.gates.includes('code');
    if (asksForCode && found.sealed === null && codeOf(body) === null) throw refused.noCode();
    const identity = await this.identities.of(asked);
    const sealed = await this.take(found, ticket, { addressMost: link.per_ip_per_day, asksForCode, proof });
    return { sealed, identity };
  }

  private async take(
    found: FoundLink,
    ticket: ClaimTicket,
    own: Pick<ClaimBounds, 'addressMost' | 'asksForCode' | 'proof'>,
  ): Promise<Buffer> {
    const { link } = found;
    const made = this.box.seal(createVirtualKey(), sealOf(ticket.name));
    const bounds = {
      ...own,
      dayLeftMs: tagEndsInMs(Date.now()),
      campaignMost: claimsMost(link.claims_per_hour),
    };
    const taken = await this.store.take(ticket, made, bounds).catch(() => {
      throw recovering();
    });
    switch (taken.code) {
      case 'ok':
        return taken.sealed;
      case 'recovering':
        throw recovering();
      case 'paused':
        throw paused();
      case 'used':
        throw await this.badProof(found, 'used');
      case 'address':
        throw refused.tooManyOfAddress(link.per_ip_per_day, bounds.dayLeftMs);
      case 'repeats':
      case 'guesses':
      case 'campaign':
        throw refused.tooMany(taken.code, taken.waitMs);
    }
  }

  private async checkedProof(
    found: FoundLink,
    body: ClaimRequest,
  ): Promise<{ signature: string; lifeMs: number } | null> {
    if (stateOfFound(found) !== 'open') throw refusalOfFound(found);
    const { link, claims } = found;
    if (!link.gates.includes('pow')) return null;
    const least = leastStepOf(stepOf(claims, link.claims_per_hour));
    const checked = await this.pow.check(body.pow, link.token, least);
    if (!checked.ok) throw await this.badProof(found, checked.why);
    return checked;
  }

  private async badProof({ link, claims }: FoundLink, why: PowFault): Promise<DaypassError> {
    return refused.badProof(why, await this.pow.challenge(link.token, stepOf(claims, link.claims_per_hour)));
  }

  private async book({ ticket, found, body }: Asked, virtualKey: string, identity: Identity | null): Promise<Claimed> {
    const { tokenPepper, codePepper } = this.config.secrets;
    const code = codeOf(body);
    const answer = await this.desk.ask({
      kind: 'claim',
      claim: ticket.name,
      link: ticket.linkId,
      token_hash: hashVirtualKey(virtualKey, tokenPepper),
      prefix: visiblePrefix(virtualKey),
      code_hash: code === null || !found.link.gates.includes('code') ? null : hashCode(code, codePepper),
      identity,
      ip_tag: ticket.tag,
    });
    if (!answer.ok) throw await this.notBooked(ticket, found.link, answer);
    const claimed = claimedSchema.parse(answer.data);
    // The books remember the claim, and Redis has forgotten its virtual key.
    if (claimed.prefix !== visiblePrefix(virtualKey)) throw refused.claimedBefore(claimed.prefix);
    return claimed;
  }

  private async notBooked(
    ticket: ClaimTicket,
    { waitlist }: LinkState,
    answer: Extract<DeskAnswer, { ok: false }>,
  ): Promise<DaypassError> {
    const { details } = answer;
    const refusal = deskRefusal(
      answer.code === 'claims_exhausted' ? { ...answer, details: { ...details, waitlist } } : answer,
    );
    if (ERRORS[refusal.code].retry) return refusal;
    const isWrongCode = refusal.code === 'code_invalid';
    const wrongCodes = await this.store.giveBack(ticket, isWrongCode).catch(() => {
      throw recovering();
    });
    return isWrongCode ? refused.wrongCode(refusal, Math.max(0, WRONG_CODES_PER_HOUR - wrongCodes)) : refusal;
  }

  private answer(key: string, claimed: Claimed, link: LinkState, baseUrl: string): ClaimAnswer {
    const { id, prefix, campaign, budget_usd, expires_at, models, limits } = claimed;
    const { open_url: openUrl } = link.page;
    return {
      ...{ key, id, prefix, campaign, base_url: baseUrl, budget_usd, expires_at, models, limits },
      // A code lives a minute: the page asks for one when its visitor opens the project.
      open_url: openUrl?.includes('{code}') ? null : openUrl,
    };
  }
}

const sealOf = (claimName: string): string => `claim ${claimName}`;

const codeOf = ({ code }: ClaimRequest): string | null => (code === undefined ? null : readCode(code));
