import { describe, expect, it } from '@jest/globals';
import { Registry } from 'prom-client';
import type { AuditEvent, CheckEvent } from '#libs/contracts/audit.js';
import type { Ticket } from '#libs/contracts/jobs.js';
import { createLogger } from '#libs/service/logger.js';
import type { EventRecorder } from '#libs/redis/event.recorder.js';
import { ContentBox } from '#libs/secrets/content-box.js';
import { Checker, type CheckOptions } from './checker.js';
import { GuardUnavailableError, type GuardVerdict } from './guards/guard.js';
import { GuardPipeline } from './guards/pipeline.js';
import { ModerationMetrics } from './moderation.metrics.js';

const box = new ContentBox(Buffer.alloc(32, 1));
const text = [{ kind: 'text' as const, text: 'a secret text' }];
const pass: GuardVerdict = { flagged: false, categories: [], scores: {}, redactions: [] };
const ticketOf = (onUnavailable: 'closed' | 'open'): Ticket =>
  ({
    requestId: 'req_1',
    keyId: 'k',
    campaignId: 'c',
    model: 'm',
    policy: { input: 'gate', output: 'gate', thresholds: {}, onUnavailable },
  }) as unknown as Ticket;

function checkerOf(verdict: GuardVerdict | Error, record: EventRecorder['record']): Checker {
  const guard = {
    name: 'one',
    model: 'fake',
    check: () => (verdict instanceof Error ? Promise.reject(verdict) : Promise.resolve(verdict)),
  };
  const guards = new GuardPipeline([{ guard, directions: ['input', 'output'], always: true, local: false }]);
  const recorder = { record } as unknown as EventRecorder;
  return new Checker({
    guards,
    recorder,
    box,
    metrics: new ModerationMetrics(new Registry()),
    logger: createLogger('moderation', 'silent'),
  });
}

describe('a verdict', () => {
  it('is in the record before anything follows from it', async () => {
    const written = Promise.withResolvers<void>();
    let known = false;
    const look = checkerOf(pass, () => written.promise)
      .check(ticketOf('closed'), 'input', text)
      .then(() => (known = true));
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(known).toBe(false);
    written.resolve();
    await look;
    expect(known).toBe(true);
  });

  const redactions = [{ find: 'secret', replace: '***' }];
  const flagged = { ...pass, flagged: true, categories: ['bad'] };
  const away = new GuardUnavailableError('it is away');
  const refused = new GuardUnavailableError('it answered 400', true);
  it.each<[string, GuardVerdict | Error, CheckOptions['found'], 'closed' | 'open', string, string]>([
    ['passes', pass, 'redact', 'closed', 'pass', 'pass'],
    ['flags', flagged, 'redact', 'closed', 'flagged', 'blocked'],
    ['flags what is only observed', flagged, 'record', 'closed', 'flagged', 'flagged'],
    ['takes something out', { ...pass, redactions }, 'redact', 'closed', 'pass', 'redacted'],
    ['would take something out that went already', { ...pass, redactions }, 'refuse', 'closed', 'flagged', 'blocked'],
    ['is not had, under `closed`', away, 'redact', 'closed', 'unavailable', 'unavailable'],
    ['is not had, under `open`', away, 'redact', 'open', 'unavailable', 'unchecked'],
    ['is refused, under `open`', refused, 'redact', 'open', 'unavailable', 'unavailable'],
    ['is not had of what is only observed', away, 'record', 'closed', 'unavailable', 'unchecked'],
  ])('that %s is recorded as what it led to', async (_, verdict, found, onUnavailable, outcome, decision) => {
    const events: AuditEvent[] = [];
    const record = (event: AuditEvent): Promise<void> => Promise.resolve(void events.push(event));
    const look = await checkerOf(verdict, record).check(ticketOf(onUnavailable), 'input', text, { found });
    expect([look.outcome.kind, (events[0] as CheckEvent).decision]).toEqual([outcome, decision]);
    expect(JSON.stringify(events)).not.toContain('a secret text');
  });

  it('keeps what was answered, encrypted; what was asked is in the record already', async () => {
    const encrypted: (Buffer | null)[] = [];
    const checker = checkerOf(pass, (_, content) => Promise.resolve(void encrypted.push(content ?? null)));
    await checker.check(ticketOf('closed'), 'input', text);
    await checker.check(ticketOf('closed'), 'output', text);
    expect(encrypted[0]).toBeNull();
    expect(JSON.parse(box.open(encrypted[1]!, 'req_1'))).toEqual(text);
  });
});
