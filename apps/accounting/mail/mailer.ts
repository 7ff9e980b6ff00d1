import { Inject, Injectable, type OnApplicationShutdown, type OnModuleInit } from '@nestjs/common';
import type { Transporter } from 'nodemailer';
import type { DaypassConfig } from '#libs/config/config.js';
import { DaypassError } from '#libs/contracts/errors.js';
import { CONFIG } from '#libs/service/platform.tokens.js';
import type { Mail } from '../domain/mails.js';

const CONNECTIONS = 2;
/** Of each step: to find the server, to greet it, to wait for an answer. */
const STEP_TIMEOUT_MS = 5_000;

/** Why a server did not take a mail, for the log. Its words may have the address. */
export function mailFault(error: unknown): number | string {
  const { responseCode, code } = error as { responseCode?: number; code?: string };
  return responseCode ?? code ?? 'unknown';
}

/** Hands mails to the operator's server. */
@Injectable()
export class Mailer implements OnModuleInit, OnApplicationShutdown {
  private transport: Transporter | null = null;

  constructor(@Inject(CONFIG) private readonly config: DaypassConfig) {}

  /** An installation without a mail server does not load what speaks with one. */
  async onModuleInit(): Promise<void> {
    const { mail } = this.config;
    if (mail === undefined) return;
    const { createTransport } = await import('nodemailer');
    this.transport = createTransport(
      {
        url: mail.smtpUrl,
        pool: true,
        maxConnections: CONNECTIONS,
        dnsTimeout: STEP_TIMEOUT_MS,
        connectionTimeout: STEP_TIMEOUT_MS,
        greetingTimeout: STEP_TIMEOUT_MS,
        socketTimeout: STEP_TIMEOUT_MS,
        disableFileAccess: true,
        disableUrlAccess: true,
      },
      { from: mail.from },
    );
  }

  get isSetUp(): boolean {
    return this.config.mail !== undefined;
  }

  /** @throws where the server does not take the mail; DaypassError `claim_refused` without a server */
  async send(to: string, { subject, text }: Mail): Promise<Record<string, never>> {
    if (this.transport === null)
      throw new DaypassError(
        'claim_refused',
        'Nobody set DAYPASS_SMTP_URL and DAYPASS_MAIL_FROM, so no mail goes out.',
      );
    // As an object, so that nobody reads several addresses out of one.
    await this.transport.sendMail({
      to: { name: '', address: to },
      subject,
      text,
      // Answering machines keep still.
      headers: { 'auto-submitted': 'auto-generated' },
    });
    return {};
  }

  onApplicationShutdown(): void {
    this.transport?.close();
  }
}
