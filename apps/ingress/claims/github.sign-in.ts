import { Inject, Injectable } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Redis } from 'ioredis';
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import type { DaypassConfig } from '#libs/config/config.js';
import { githubAccountSchema, type GithubAccount } from '#libs/contracts/claims.js';
import { DaypassError } from '#libs/contracts/errors.js';
import { redisKeys } from '#libs/redis/keys.js';
import { CONFIG, MONEY_REDIS } from '#libs/service/platform.tokens.js';
import { DeskClient } from '../desk/desk.client.js';
import { isLinkToken } from '../domain/claim-link.js';
import { TagCounts } from '../domain/tag-counts.js';
import { publicUrlOf } from '../door/public.url.js';
import { ClaimAddress } from './claim.address.js';
import { IdentityCookies, type PendingSignIn } from './identity.cookies.js';
import { LinkViews } from './link.views.js';

/** Sign-ins that one network may bring back within an hour, to this process. Each is a request to GitHub. */
const SIGN_INS_PER_HOUR = 300;
const CODE_MOST = 200;
/** Longer than a sign-in may take. */
const USED_MS = 660_000;
const CALLBACK = '/claim/v1/github/callback';

/**
 * How a sign-in ended, behind the # of the claim page. `expired`: it took too long, or came back twice, or nobody began it
 * in this browser. `failed`: GitHub did not take it. `busy`: GitHub or accounting do not answer.
 */
export type SignInEnd = 'done' | 'denied' | 'expired' | 'failed' | 'busy' | 'off';

/**
 * Signs visitors in with GitHub: OAuth's authorization code with PKCE (S256). The code is only worth something together
 * with the cookie of the browser that began. It asks for no scope: GitHub tells the account's id, name and age.
 */
@Injectable()
export class GithubSignIn {
  private readonly came = new TagCounts(SIGN_INS_PER_HOUR);

  constructor(
    @Inject(CONFIG) private readonly config: DaypassConfig,
    @Inject(MONEY_REDIS) private readonly redis: Redis,
    private readonly views: LinkViews,
    private readonly address: ClaimAddress,
    private readonly cookies: IdentityCookies,
    private readonly desk: DeskClient,
  ) {}

  /** Where the visitor goes. @throws DaypassError `invalid_request` without a link; others as `LinkViews.find` */
  async start(request: FastifyRequest, reply: FastifyReply): Promise<string> {
    const { link: token } = request.query as Record<string, unknown>;
    if (typeof token !== 'string' || !isLinkToken(token)) throw noSignIn();
    const found = await this.views.find(token, request);
    const { github } = this.config;
    // The page says that there is no such link.
    if (found === null) return `/c/${token}`;
    if (github === undefined || !found.link.gates.includes('github')) return pageOf(token, 'off');
    const state = `${randomBytes(18).toString('base64url')}.${token}`;
    const verifier = randomBytes(32).toString('base64url');
    this.cookies.keepPending(request, reply, { state, verifier });
    const target = new URL('/login/oauth/authorize', github.url);
    target.search = new URLSearchParams({
      client_id: github.clientId,
      redirect_uri: this.callbackUrl(request),
      state,
      code_challenge: createHash('sha256').update(verifier).digest('base64url'),
      code_challenge_method: 'S256',
    }).toString();
    return target.href;
  }

  /** The page that the visitor goes back to. @throws DaypassError `invalid_request` where nobody knows which */
  async comeBack(request: FastifyRequest, reply: FastifyReply): Promise<string> {
    const { state, code, error } = request.query as Record<string, unknown>;
    const token = typeof state === 'string' ? state.slice(state.indexOf('.') + 1) : '';
    if (!isLinkToken(token)) throw noSignIn();
    const pending = this.cookies.pending(request);
    this.cookies.keepPending(request, reply, null);
    if (pending === null || !isSame(pending.state, state as string)) return pageOf(token, 'expired');
    const back = (end: SignInEnd): string => pageOf(token, end);
    if (error !== undefined) return back(error === 'access_denied' ? 'denied' : 'failed');
    if (typeof code !== 'string' || code === '' || code.length > CODE_MOST) return back('failed');
    const account = await this.accountOf(request, pending, code);
    if (typeof account === 'string') return back(account);
    const { id, login, created_at } = account;
    this.cookies.keepSignedIn(request, reply, {
      identity: { kind: 'github', subject: `github:${id}`, label: login },
      since_ms: Date.parse(created_at),
    });
    return back('done');
  }

  private async accountOf(
    request: FastifyRequest,
    { state, verifier }: PendingSignIn,
    code: string,
  ): Promise<GithubAccount | SignInEnd> {
    const tag = this.address.tagOf(request, Date.now());
    if (this.came.waitMs(tag, performance.now()) > 0) return 'busy';
    this.came.count(tag, performance.now());
    try {
      const name = redisKeys.signIn(createHash('sha256').update(state).digest('base64url'));
      if ((await this.redis.set(name, '1', 'PX', USED_MS, 'NX')) === null) return 'expired';
      const answer = await this.desk.ask({
        kind: 'github',
        code,
        code_verifier: verifier,
        redirect_uri: this.callbackUrl(request),
      });
      if (answer.ok) return githubAccountSchema.parse(answer.data);
      return answer.code === 'identity_required' ? 'failed' : 'busy';
    } catch {
      // The log has it.
      return 'busy';
    }
  }

  private callbackUrl(request: FastifyRequest): string {
    return publicUrlOf(request.headers, this.config) + CALLBACK;
  }
}

/** Always a page of Daypass itself. */
const pageOf = (token: string, end: SignInEnd): string => `/c/${token}#github=${end}`;

function isSame(one: string, other: string): boolean {
  const [a, b] = [Buffer.from(one), Buffer.from(other)];
  return a.length === b.length && timingSafeEqual(a, b);
}

const noSignIn = (): DaypassError =>
  new DaypassError(
    'invalid_request',
    'This is no sign-in that began at a claim link. Open the link again, and press its button.',
  );
