import { Injectable } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { ClaimRequest, Identity } from '#libs/contracts/claims.js';
import { readAddress } from './email.address.js';
import { noIdentity, tooYoung } from './claim.refusals.js';
import type { ClaimTicket, FoundLink } from './claim.store.js';
import { EmailGate } from './email.gate.js';
import { IdentityCookies } from './identity.cookies.js';

const DAY_MS = 86_400_000;

interface Asking {
  request: FastifyRequest;
  reply: FastifyReply;
  ticket: ClaimTicket;
  found: FoundLink;
  body: Pick<ClaimRequest, 'email' | 'email_code'>;
}

/** Finds out who claims, where the link asks. */
@Injectable()
export class Identities {
  constructor(
    private readonly cookies: IdentityCookies,
    private readonly emails: EmailGate,
  ) {}

  /**
   * null: the link does not ask. Right digits sign the browser in, so that it needs them once, whatever a claim leads to.
   * @throws DaypassError `identity_required`, `claim_refused`, and those of `EmailGate.check`
   */
  async of({ request, reply, ticket, found, body }: Asking): Promise<Identity | null> {
    const { link } = found;
    const [gate] = link.gates;
    if (gate !== 'github' && gate !== 'email') return null;
    const signedIn = this.cookies.signedIn(request);
    const isSame = signedIn !== null && readAddress(body.email ?? '')?.subject === signedIn.identity.subject;
    if (gate === 'email' && body.email_code !== undefined && !isSame) {
      const identity = await this.emails.check(found, body, { claimName: ticket.name, tag: ticket.tag });
      this.cookies.keepSignedIn(request, reply, { identity, since_ms: null });
      return this.ofDomain(found, identity);
    }
    if (signedIn?.identity.kind !== gate) throw noIdentity(gate, link.token);
    const days = link.github.min_account_age_days;
    const sinceMs = signedIn.since_ms;
    if (gate === 'github' && (sinceMs === null || sinceMs > found.nowMs - days * DAY_MS)) throw tooYoung(days);
    return this.ofDomain(found, signedIn.identity);
  }

  /** Whoever signed in at another link has an address that this one may not take. */
  private ofDomain({ link: { email, token } }: FoundLink, identity: Identity): Identity {
    if (identity.kind !== 'email' || email.domains.length === 0) return identity;
    if (email.domains.some((domain) => identity.subject.endsWith(`@${domain}`))) return identity;
    throw noIdentity('email', token);
  }
}
