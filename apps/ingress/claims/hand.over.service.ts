import { Injectable } from '@nestjs/common';
import type { FastifyRequest } from 'fastify';
import {
  handOverRequestSchema,
  tokenRequestSchema,
  type HandOverAnswer,
  type HandOverRequest,
  type LinkState,
  type TokenAnswer,
} from '#libs/contracts/claims.js';
import { DaypassError } from '#libs/contracts/errors.js';
import { virtualKeyOf, type Visitor } from '../door/authenticator.service.js';
import { foreignOriginOf, mayClaimFrom } from '../domain/claim-origin.js';
import { unknownLink } from '../domain/claim-link.js';
import { fitsChallenge, readApp, redirectOf } from '../domain/link-app.js';
import { recovering } from '../refusals.js';
import { ClaimAddress } from './claim.address.js';
import * as refused from './claim.refusals.js';
import { HandOverStore, type HandOver } from './hand.over.store.js';
import { LinkViews } from './link.views.js';
import { readBody } from './small.body.js';

const CODE_PLACE = '{code}';

/** Hands a visitor's key over to an app, or to the project, by a one-time code: no address ever has the key. */
@Injectable()
export class HandOvers {
  constructor(
    private readonly views: LinkViews,
    private readonly store: HandOverStore,
    private readonly address: ClaimAddress,
  ) {}

  /** Returns the address to open. @throws DaypassError that says why there is none */
  async begin(visitor: Visitor, request: FastifyRequest): Promise<HandOverAnswer> {
    const ask = readBody(handOverRequestSchema, request.body);
    // Only a page of Daypass asks the visitor first.
    if (!mayClaimFrom(request.headers, [])) throw refused.originNotAllowed(request.headers.origin);
    const found = await this.views.find(ask.link, request);
    if (found === null) throw unknownLink();
    const { link } = found;
    if (link.campaign !== visitor.key.campaign) throw otherCampaign();
    return isForApp(ask) ? this.toApp(ask, link, visitor, request) : this.toProject(link, visitor, request);
  }

  private async toApp(
    ask: HandOverRequest,
    link: LinkState,
    visitor: Visitor,
    request: FastifyRequest,
  ): Promise<HandOverAnswer> {
    const app = readApp(ask, link.redirect_uris);
    const origins = [...link.origins, app.redirectUri.origin];
    const code = await this.codeFor(visitor, request, { challenge: app.challenge, origins });
    return { url: redirectOf(app, { code }) };
  }

  private async toProject(link: LinkState, visitor: Visitor, request: FastifyRequest): Promise<HandOverAnswer> {
    const { open_url: openUrl } = link.page;
    if (!openUrl?.includes(CODE_PLACE)) throw noProject();
    const origins = [...link.origins, new URL(openUrl).origin];
    const code = await this.codeFor(visitor, request, { challenge: null, origins });
    return { url: openUrl.replaceAll(CODE_PLACE, code) };
  }

  private async codeFor(
    { key }: Visitor,
    request: FastifyRequest,
    to: Pick<HandOver, 'challenge' | 'origins'>,
  ): Promise<string> {
    const handOver = {
      ...to,
      key: virtualKeyOf(request.headers),
      base_url: this.address.baseUrlOf(request),
      expires_at: key.expires_ms > 0 ? new Date(key.expires_ms).toISOString() : null,
    };
    const kept = await this.store.keep(key.id, handOver).catch(() => {
      throw recovering();
    });
    if ('waitMs' in kept) throw refused.tooMany('handOvers', kept.waitMs);
    return kept.code;
  }

  /**
   * The key that a code stands for, once. What is wrong with the request does not use the code up: who read it on its
   * way cannot take it from its app.
   * @throws DaypassError that says why there is none
   */
  async end(request: FastifyRequest): Promise<{ answer: TokenAnswer; origin: string | undefined }> {
    const { code, code_verifier: verifier } = readBody(tokenRequestSchema, request.body);
    const found = known(await this.asked(this.store.find(code)));
    const origin = foreignOriginOf(request.headers);
    if (!mayClaimFrom(request.headers, found.origins)) throw refused.originNotAllowed(request.headers.origin);
    refuseVerifier(verifier, found.challenge);
    const { key, base_url, expires_at } = known(await this.asked(this.store.take(code)));
    return { answer: { key, base_url, expires_at }, origin };
  }

  private asked<T>(answer: Promise<T>): Promise<T> {
    return answer.catch(() => {
      throw recovering();
    });
  }
}

const isForApp = (ask: HandOverRequest): boolean =>
  [ask.redirect_uri, ask.code_challenge, ask.code_challenge_method].some((one) => one !== undefined);

function known(found: HandOver | 'used' | null): HandOver {
  if (found === 'used') throw invalid('used', 'This code was exchanged before. It works once.');
  if (found === null) throw invalid('unknown', 'Nobody knows this code. It lives one minute.');
  return found;
}

function refuseVerifier(verifier: string | undefined, challenge: string | null): void {
  if (challenge === null && verifier !== undefined)
    throw invalid('verifier', 'This code has no challenge: leave out code_verifier.', 'code_verifier');
  if (challenge !== null && (verifier === undefined || !fitsChallenge(verifier, challenge)))
    throw invalid(
      'verifier',
      'code_verifier does not fit the code_challenge that the app began with. The code is not used up.',
      'code_verifier',
    );
}

const invalid = (why: 'used' | 'unknown' | 'verifier', message: string, param = 'code'): DaypassError =>
  new DaypassError('hand_over_invalid', `${message} Begin again on the link's page.`, { param, details: { why } });

const otherCampaign = (): DaypassError =>
  new DaypassError('invalid_request', 'link: this key is of another campaign than the link.', { param: 'link' });

const noProject = (): DaypassError =>
  new DaypassError(
    'invalid_request',
    "The link's campaign has no 'open_url' with {code}, and the request names no redirect_uri.",
    { param: 'redirect_uri' },
  );
