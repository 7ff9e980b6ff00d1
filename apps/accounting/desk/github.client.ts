import { Inject, Injectable } from '@nestjs/common';
import { z } from 'zod';
import type { DaypassConfig } from '#libs/config/config.js';
import { githubAccountSchema, type DeskPayload, type GithubAccount } from '#libs/contracts/claims.js';
import { DaypassError } from '#libs/contracts/errors.js';
import type { Logger } from '#libs/service/logger.js';
import { CONFIG, LOGGER } from '#libs/service/platform.tokens.js';
import { githubApiOf } from '../domain/github-api.js';

/** For both requests together. Ingress waits for eight seconds. */
const TIMEOUT_MS = 6_000;
const ANSWER_BYTES_MAX = 65_536;

/** GitHub answers 200 also where it refuses a code. */
const tokenAnswer = z.union([
  z.object({ access_token: z.string().min(1).max(1_000) }),
  z.object({ error: z.string() }),
]);

/**
 * Asks GitHub who signed in: the account's id, its name and its age. The token has no scope, and nobody keeps it.
 * (GitHub's docs, "Authorizing OAuth apps", November 2026.)
 */
@Injectable()
export class GithubClient {
  constructor(
    @Inject(CONFIG) private readonly config: DaypassConfig,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  /** @throws DaypassError `identity_required` where GitHub does not take the code, `recovering` where it does not answer */
  async account({
    code,
    code_verifier,
    redirect_uri,
  }: Extract<DeskPayload, { kind: 'github' }>): Promise<GithubAccount> {
    const { github } = this.config;
    if (github === undefined) throw refused('nobody set DAYPASS_GITHUB_CLIENT_ID');
    const signal = AbortSignal.timeout(TIMEOUT_MS);
    try {
      const answer = tokenAnswer.parse(
        await this.ask(`${github.url}/login/oauth/access_token`, signal, {
          method: 'POST',
          headers: { 'content-type': 'application/json' },
          body: JSON.stringify({
            client_id: github.clientId,
            client_secret: github.clientSecret,
            ...{ code, code_verifier, redirect_uri },
          }),
        }),
      );
      if ('error' in answer) throw refused(answer.error.slice(0, 100));
      return githubAccountSchema.parse(
        await this.ask(`${githubApiOf(github.url)}/user`, signal, {
          headers: { authorization: `Bearer ${answer.access_token}` },
        }),
      );
    } catch (error) {
      if (error instanceof DaypassError && error.code === 'identity_required') {
        this.logger.warn({ reason: error.details?.reason }, 'GitHub refused a sign-in');
        throw error;
      }
      this.logger.warn({ err: error }, 'GitHub did not tell who signed in');
      throw new DaypassError('recovering', 'GitHub does not answer at the moment. Sign in again shortly.');
    }
  }

  private async ask(url: string, signal: AbortSignal, init: RequestInit): Promise<unknown> {
    const response = await fetch(url, {
      ...init,
      // GitHub refuses requests without a name.
      headers: { accept: 'application/json', 'user-agent': 'daypass', ...init.headers },
      redirect: 'error',
      signal,
    });
    const text = await readText(response);
    if (!response.ok) throw new Error(`it answered ${response.status}`);
    return JSON.parse(text);
  }
}

async function readText(response: Response): Promise<string> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of response.body ?? []) {
    const piece = chunk as Uint8Array;
    bytes += piece.length;
    if (bytes > ANSWER_BYTES_MAX) throw new Error('its answer is too long');
    chunks.push(piece);
  }
  return Buffer.concat(chunks).toString('utf8');
}

const refused = (reason: string): DaypassError =>
  new DaypassError('identity_required', 'GitHub did not take this sign-in. Sign in again.', { details: { reason } });
