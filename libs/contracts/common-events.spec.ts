import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { auditEventSchema, commonAuditEvent, readAuditEvent } from './audit.js';
import { commonJournalEvent, journalEventSchema, readJournalEvent } from './journal.js';

const hold = {
  kind: 'hold',
  request: 'req_1',
  key: 'key_1',
  campaign: 'cmp_1',
  amount: '120',
  paid: '0',
  absorbed: '0',
  day: '20780',
  first_use: '1',
  at_ms: '1795000000000',
  detail: '{"model":"m"}',
};
const dispatch = { ...hold, kind: 'dispatch', attempt: '2', first_use: '0' };
const strike = { ...hold, kind: 'strike', strikes: '2', step: 'warn', until_ms: '0' };

/** One event with a few fields left out, or with other values. */
const changed = (event: Record<string, unknown>, values: fc.Arbitrary<unknown>): fc.Arbitrary<object> =>
  fc
    .tuple(
      fc.dictionary(
        fc.constantFrom(...Object.keys(event), 'strikes', 'step', 'until_ms', 'upstream', 'endpoint'),
        values,
        {
          maxKeys: 2,
        },
      ),
      fc.subarray(Object.keys(event), { maxLength: 2 }),
    )
    .map(([other, without]) =>
      Object.fromEntries(Object.entries({ ...event, ...other }).filter(([name]) => !without.includes(name))),
    );

describe('an entry of the journal', () => {
  const values = fc.constantFrom(
    '',
    '0',
    '1',
    '-1',
    '1.5',
    ' 7',
    '1e3',
    '9007199254740993',
    '12345678901234567',
    'hold',
    'x',
  );

  it.each([hold, { ...hold, kind: 'post', upstream: 'azure' }, dispatch])('$kind needs no schema', (fields) => {
    expect(commonJournalEvent(fields)).toEqual(journalEventSchema.parse(fields));
    expect(readJournalEvent(fields)).toEqual({ event: journalEventSchema.parse(fields) });
  });

  it('of a strike has its numbers from the schema', () => {
    expect(commonJournalEvent(strike)).toBeUndefined();
    expect(readJournalEvent(strike)).toEqual({ event: journalEventSchema.parse(strike) });
  });

  it('reads as the schema reads it, whatever it contains', () => {
    fc.assert(
      fc.property(fc.oneof(...[hold, dispatch, strike].map((event) => changed(event, values))), (fields) => {
        const quick = commonJournalEvent(fields as Record<string, string>);
        if (quick) expect(quick).toEqual(journalEventSchema.parse(fields));
        const read = readJournalEvent(fields as Record<string, string>);
        expect('event' in read).toBe(journalEventSchema.safeParse(fields).success);
      }),
      { numRuns: 500 },
    );
  });

  it('that is none says which field is wrong', () => {
    expect(readJournalEvent({ ...hold, amount: '-1' })).toEqual({ reason: expect.stringContaining('amount:') });
  });
});

const policy = { input: 'gate', output: 'window', thresholds: { violence: 0.6 }, onUnavailable: 'closed' };
const request = { kind: 'request', id: 'req_1', key: 'key_1', campaign: 'cmp_1', model: 'm', stream: true, policy };
const check = {
  kind: 'check',
  id: 'chk_1',
  request: 'req_1',
  key: 'key_1',
  campaign: 'cmp_1',
  direction: 'output',
  guard: 'moderation',
  model: 'm',
  decision: 'pass',
  categories: [],
  scores: { violence: 0.01 },
  reason: null,
  latency_ms: 1.5,
  policy,
};
const safety = { kind: 'safety', id: 'case_1', type: 'safety.warning_issued' };

describe('an event of the record', () => {
  const values = fc.oneof(
    fc.jsonValue(),
    fc.constantFrom(Number.NaN, Number.POSITIVE_INFINITY, 'input', 'blocked', 'e'.repeat(101), ['violence'], [1]),
    fc.constantFrom({ ...policy, thresholds: { violence: 'x' } }, { ...policy, more: 1 }, { violence: Number.NaN }),
  );

  it.each([request, { ...request, endpoint: 'responses' }, check])('$kind needs no schema', (event) => {
    expect(commonAuditEvent(event)).toEqual(auditEventSchema.parse(event));
  });

  it('reads as the schema reads it, whatever it contains', () => {
    fc.assert(
      fc.property(fc.oneof(...[request, check, safety].map((event) => changed(event, values))), (value) => {
        const quick = commonAuditEvent(value);
        if (quick) expect(quick).toEqual(auditEventSchema.parse(value));
        const read = auditEventSchema.safeParse(value);
        if (read.success) expect(readAuditEvent(value)).toEqual(read.data);
        else expect(() => readAuditEvent(value)).toThrow();
      }),
      { numRuns: 500 },
    );
  });

  it('shares its policy with all events that were decided under it', () => {
    const [one, other] = [structuredClone(request), structuredClone(check)].map((event) => readAuditEvent(event));
    expect((one as typeof request).policy).toBe((other as typeof check).policy);
  });
});
