import { Inject, Injectable } from '@nestjs/common';
import { parseCookie, stringifySetCookie } from 'cookie';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { z } from 'zod';
import type { DaypassConfig } from '#libs/config/config.js';
import { identitySchema } from '#libs/contracts/claims.js';
import { ContentBox } from '#libs/secrets/content-box.js';
import { CONFIG } from '#libs/service/platform.tokens.js';
import { publicUrlOf } from '../door/public.url.js';

/** So long this browser is signed in. */
const SIGNED_IN_MS = 900_000;
/** So long a sign-in may take at GitHub. */
const PENDING_MS = 600_000;
/** Browsers keep 4,096 bytes of a cookie. */
const VALUE_MOST = 3_800;

const signedInSchema = z.object({
  identity: identitySchema,
  /** Since when the account exists, in milliseconds since the epoch; null: nobody asked. */
  since_ms: z.number().nullable(),
});
export type SignedIn = z.infer<typeof signedInSchema>;

const pendingSchema = z.object({ state: z.string(), verifier: z.string() });
export type PendingSignIn = z.infer<typeof pendingSchema>;

interface Cookie {
  name: string;
  path: string;
  lifeMs: number;
}
const SIGNED_IN: Cookie = { name: 'daypass_claimant', path: '/claim', lifeMs: SIGNED_IN_MS };
const PENDING: Cookie = { name: 'daypass_github', path: '/claim/v1/github', lifeMs: PENDING_MS };

/**
 * Who this browser is, and a sign-in on its way, in cookies that only Daypass can open. Pages of other sites cannot make a
 * browser send them with a claim, and no script reads them.
 */
@Injectable()
export class IdentityCookies {
  constructor(
    @Inject(CONFIG) private readonly config: DaypassConfig,
    private readonly box: ContentBox,
  ) {}

  /** null: nobody signed in within the last 15 minutes. */
  signedIn(request: FastifyRequest): SignedIn | null {
    return this.open(request, SIGNED_IN, signedInSchema);
  }

  keepSignedIn(request: FastifyRequest, reply: FastifyReply, who: SignedIn): void {
    this.put(request, reply, SIGNED_IN, who);
  }

  signOut(request: FastifyRequest, reply: FastifyReply): void {
    this.put(request, reply, SIGNED_IN, null);
  }

  pending(request: FastifyRequest): PendingSignIn | null {
    return this.open(request, PENDING, pendingSchema);
  }

  /** null: it has come back. */
  keepPending(request: FastifyRequest, reply: FastifyReply, sign: PendingSignIn | null): void {
    this.put(request, reply, PENDING, sign);
  }

  private put(request: FastifyRequest, reply: FastifyReply, cookie: Cookie, value: object | null): void {
    const sealed =
      value === null
        ? ''
        : this.box
            .seal(JSON.stringify({ value, until_ms: Date.now() + cookie.lifeMs }), cookie.name)
            .toString('base64url');
    const text = stringifySetCookie({
      name: cookie.name,
      value: sealed,
      path: cookie.path,
      maxAge: value === null ? 0 : cookie.lifeMs / 1_000,
      httpOnly: true,
      // GitHub sends the visitor back by a link, with which browsers send a cookie that is `lax`.
      sameSite: 'lax',
      secure: publicUrlOf(request.headers, this.config).startsWith('https://'),
    });
    const others = [reply.getHeader('set-cookie') ?? []].flat().map(String);
    void reply.removeHeader('set-cookie');
    void reply.header('set-cookie', [...others.filter((other) => !other.startsWith(`${cookie.name}=`)), text]);
  }

  private open<T extends z.ZodType>({ headers }: FastifyRequest, { name }: Cookie, form: T): z.output<T> | null {
    if (headers.cookie === undefined) return null;
    const sealed = parseCookie(headers.cookie)[name];
    if (sealed === undefined || sealed === '' || sealed.length > VALUE_MOST) return null;
    try {
      const { value, until_ms } = JSON.parse(this.box.open(Buffer.from(sealed, 'base64url'), name)) as {
        value: unknown;
        until_ms: number;
      };
      return until_ms > Date.now() ? form.parse(value) : null;
    } catch {
      // Somebody made it up, or it is of another secret.
      return null;
    }
  }
}
