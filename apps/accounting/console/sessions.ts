import { randomBytes } from 'node:crypto';
import { Inject, Injectable } from '@nestjs/common';
import { InjectDataSource } from '@nestjs/typeorm';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { DataSource } from 'typeorm';
import { z } from 'zod';
import type { DaypassConfig } from '#libs/config/config.js';
import { CONFIG } from '#libs/service/platform.tokens.js';

export const IDLE_MS = 12 * 3_600_000;
export const LONGEST_MS = 7 * 86_400_000;
/** A session in use gets a new cookie so often, and not with each answer. */
const RENEW_EVERY_MS = 300_000;
/** For so long a process does not ask the books again whether a session has ended. */
const KNOWN_FOR_MS = 1_000;
const KNOWN_MAX = 200;
/** Counts how often all sessions were ended. */
const EPOCH = 'session_epoch';

const sessionSchema = z.strictObject({
  id: z.string(),
  name: z.string(),
  epoch: z.int(),
  /** When somebody signed in, and when the cookie was made; ms since the epoch. */
  since: z.int(),
  seen: z.int(),
});
export type Session = z.infer<typeof sessionSchema>;

export const endOf = ({ since, seen }: Session): Date => new Date(Math.min(seen + IDLE_MS, since + LONGEST_MS));

/**
 * The sessions of the console. The browser keeps each in a signed cookie, which no script reads. The books have only
 * what a cookie cannot say by itself: which sessions ended early.
 */
@Injectable()
export class Sessions {
  readonly cookie: string;
  /** By session: how the books knew it lately. */
  private readonly known = new Map<string, { atMs: number; epoch: number; ended: boolean }>();

  constructor(
    @Inject(CONFIG) { admin }: DaypassConfig,
    @InjectDataSource() private readonly source: DataSource,
  ) {
    // Cookies do not tell ports apart: two Daypasses of one machine must not end each other's sessions.
    this.cookie = `daypass_console_${admin.port}`;
  }

  async open(name: string, request: FastifyRequest, reply: FastifyReply): Promise<void> {
    const nowMs = Date.now();
    const id = randomBytes(16).toString('base64url');
    this.write({ id, name, epoch: await this.epoch(), since: nowMs, seen: nowMs }, request, reply);
  }

  /** The request's session, which lives on for another twelve hours; null: it has none, or it ended. */
  async of(request: FastifyRequest, reply: FastifyReply): Promise<Session | null> {
    const session = this.read(request);
    if (session === null || !(await this.isInForce(session))) return null;
    if (Date.now() - session.seen > RENEW_EVERY_MS) this.write({ ...session, seen: Date.now() }, request, reply);
    return session;
  }

  /** Whether nobody ended it. While Postgres is away, what a process knew last holds. */
  async isInForce(session: Session): Promise<boolean> {
    if (endOf(session).getTime() <= Date.now()) return false;
    const { epoch, ended } = await this.look(session.id);
    return !ended && epoch === session.epoch;
  }

  async end(session: Session, reply: FastifyReply): Promise<void> {
    await this.source.query(`DELETE FROM access.ended_sessions WHERE until < now()`);
    await this.source.query(`INSERT INTO access.ended_sessions (id, until) VALUES ($1, $2) ON CONFLICT DO NOTHING`, [
      session.id,
      new Date(session.since + LONGEST_MS),
    ]);
    this.known.delete(session.id);
    void reply.clearCookie(this.cookie, { path: '/admin' });
  }

  async endAll(reply: FastifyReply): Promise<void> {
    await this.source.query(
      `INSERT INTO access.state (name, value) VALUES ('${EPOCH}', 1) ON CONFLICT (name) DO UPDATE SET value = state.value + 1`,
    );
    this.known.clear();
    void reply.clearCookie(this.cookie, { path: '/admin' });
  }

  /** The cookie alone, without the books; null: it is not there, changed, or too old. */
  private read(request: FastifyRequest): Session | null {
    const { value } = request.unsignCookie(request.cookies[this.cookie] ?? '');
    if (value === null) return null;
    // A Daypass of another version may have signed it.
    const { data } = sessionSchema.safeParse(JSON.parse(Buffer.from(value, 'base64url').toString()));
    return data && endOf(data).getTime() > Date.now() ? data : null;
  }

  private write(session: Session, request: FastifyRequest, reply: FastifyReply): void {
    void reply.setCookie(this.cookie, Buffer.from(JSON.stringify(session)).toString('base64url'), {
      signed: true,
      httpOnly: true,
      sameSite: 'strict',
      path: '/admin',
      expires: endOf(session),
      secure: isBehindTls(request),
    });
  }

  private async look(id: string): Promise<{ epoch: number; ended: boolean }> {
    const former = this.known.get(id);
    if (former !== undefined && Date.now() - former.atMs < KNOWN_FOR_MS) return former;
    const now = await this.ask(id).catch((error: unknown) => {
      if (former === undefined) throw error;
      return former;
    });
    this.known.delete(id);
    if (this.known.size >= KNOWN_MAX) this.known.delete(this.known.keys().next().value!);
    const known = { ...now, atMs: Date.now() };
    this.known.set(id, known);
    return known;
  }

  private async ask(id: string): Promise<{ epoch: number; ended: boolean }> {
    const [row] = await this.source.query<{ epoch: number; ended: boolean }[]>(
      `SELECT coalesce((SELECT value FROM access.state WHERE name = '${EPOCH}'), 0) AS epoch,
              EXISTS (SELECT FROM access.ended_sessions WHERE id = $1) AS ended`,
      [id],
    );
    return row!;
  }

  private async epoch(): Promise<number> {
    return (await this.ask('')).epoch;
  }
}

/**
 * The proxy that ends TLS says so. Nobody wins by a false word of it: it only decides whether the sender's own cookie
 * travels over TLS alone.
 */
export function isBehindTls({ headers }: FastifyRequest): boolean {
  return (
    String(headers['x-forwarded-proto'] ?? '')
      .split(',', 1)[0]!
      .trim() === 'https'
  );
}
