import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { NO_PERIOD, periodOfDate, periodOfRequest } from './period.js';

const requestId = (ms: number, rest = 'ab'.repeat(10)) => `req_${ms.toString(16).padStart(12, '0')}${rest}`;

describe('the month of a call', () => {
  it('follows from its id', () => {
    expect(periodOfRequest(requestId(Date.UTC(2026, 10, 30, 23, 59, 59, 999)))).toBe('2026-11-01');
    expect(periodOfRequest(requestId(Date.UTC(2026, 11, 1)))).toBe('2026-12-01');
  });

  it('is the one of its time, whatever the rest of the id', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: Date.UTC(2024, 0, 1), max: Date.UTC(2099, 11, 31) }),
        fc.stringMatching(/^[0-9a-f]{20}$/),
        (ms, rest) => {
          expect(periodOfRequest(requestId(ms, rest))).toBe(periodOfDate(new Date(ms)));
        },
      ),
    );
  });

  it.each([
    '',
    'r',
    'req_',
    'req_zz',
    requestId(0),
    requestId(Date.UTC(2100, 0, 1)),
    requestId(Date.UTC(2023, 11, 31)),
    `${requestId(Date.UTC(2026, 1, 1))}0`,
  ])('of an id without a plausible time is none: %p', (id) => {
    expect(periodOfRequest(id)).toBe(NO_PERIOD);
  });
});
