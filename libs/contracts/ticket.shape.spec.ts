import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { ENCODINGS, METERS, ticketSchema, verdictWordSchema, type Ticket } from './jobs.js';
import { isTicket } from './ticket.shape.js';

const count = fc.nat();
const text = fc.string({ maxLength: 20 });
const rates = { input: count, cachedInput: count, cacheWrite: count, output: count };
const number = fc.double({ noNaN: true, noDefaultInfinity: true, min: 0 });
const optional = <T>(arb: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> => fc.option(arb, { nil: undefined });
const pacedUnits = fc.record({
  images: optional(count),
  audioSeconds: optional(count),
  drawing: optional(fc.array(fc.record({ name: text, slot: text, ipm: count }), { maxLength: 2 })),
});
const metered = fc.record(Object.fromEntries(METERS.map((meter) => [meter, optional(count)])));
const unusualRates = {
  ...{ imageInput: optional(count), imageOutput: optional(count), audioInput: optional(count) },
  ...{ audioOutput: optional(count), seconds: optional(count), characters: optional(count) },
  imageTokensPerImage: optional(fc.integer({ min: 1 })),
};
const ticketArb = fc.record({
  ...{ requestId: text, keyId: text, campaignId: text, replyTo: text, model: text, lane: text },
  endpoint: optional(text),
  stream: fc.boolean(),
  remoteImages: optional(count),
  facts: fc.dictionary(text, fc.oneof(fc.boolean(), number)),
  ...{ outputs: count, inputTokens: count, pacedTokens: count, capTokens: count },
  weight: fc.double({ noNaN: true, noDefaultInfinity: true, min: 0.01 }),
  capLowered: fc.boolean(),
  estimate: optional(metered),
  pacedUnits: optional(pacedUnits),
  price: fc.record({
    ...rates,
    ...unusualRates,
    long: optional(fc.record({ ...rates, aboveTokens: fc.integer({ min: 1 }) })),
  }),
  feeNano: text,
  tierPercent: fc.integer({ min: 100 }),
  tiers: optional(fc.dictionary(text, fc.integer({ min: 1 }))),
  encoding: optional(fc.constantFrom(...ENCODINGS)),
  heldNano: text,
  day: fc.integer(),
  keepAnswer: fc.boolean(),
  takesFlow: optional(fc.boolean()),
  takesFrames: optional(fc.boolean()),
  takesBytes: optional(fc.boolean()),
  origin: optional(text),
  repeatHash: optional(text),
  policy: fc.record({
    input: fc.constantFrom('gate', 'parallel', 'observe', 'off'),
    output: fc.constantFrom('gate', 'window', 'trail', 'observe', 'off'),
    thresholds: fc.dictionary(text, number),
    flagsToo: optional(fc.array(text)),
    onUnavailable: fc.constantFrom('closed', 'open'),
    images: optional(fc.constant('data')),
    shelf: optional(fc.constant('off')),
    guards: optional(fc.array(text)),
    strikes: optional(fc.record({ cooldownAfter: count, cooldownMs: count, suspendAfter: count, windowMs: number })),
  }),
  inputVerdict: fc.constantFrom(...verdictWordSchema.options),
  patienceMs: number,
  acceptedMs: number,
  dropped: optional(fc.array(text, { maxLength: 64 })),
  trace: optional(text),
});
type Plain = Record<string, unknown>;
const throughRedis = (value: unknown): Plain => JSON.parse(JSON.stringify(value)) as Plain;

/** Each object within a value, with the value itself. A list is none: its length is no field. */
function objectsIn(value: unknown): Plain[] {
  if (typeof value !== 'object' || value === null) return [];
  return [...(Array.isArray(value) ? [] : [value as Plain]), ...Object.values(value).flatMap(objectsIn)];
}

/** Anything that another version, a fault or an attacker may put in the place of a field. */
const other = fc.oneof(
  ...[fc.constantFrom(null, -1, 0, 1.5, 1e300, '', 'x'.repeat(500), true, [], {}), fc.jsonValue({ maxDepth: 1 })],
  fc.constantFrom(
    ['x'.repeat(65)],
    Array.from({ length: 65 }, () => 'x'),
    { ['x'.repeat(41)]: 1 },
    { a: 'b' },
  ),
);

describe('the shape of a ticket', () => {
  it('is that of every ticket which this version writes', () => {
    fc.assert(
      fc.property(ticketArb, (ticket) => {
        const written = throughRedis(ticket);
        const isWritable = !JSON.stringify(written).includes('"__proto__":');
        expect(isTicket(written)).toBe(isWritable);
        expect(ticketSchema.parse(written) satisfies Ticket).toEqual(isWritable ? written : expect.anything());
      }),
      { numRuns: 300 },
    );
  });

  it('is of nothing that the schema refuses, or would change', () => {
    let refused = 0;
    fc.assert(
      fc.property(ticketArb, fc.nat(), fc.nat(), text, other, (ticket, at, field, name, value) => {
        const written = throughRedis(ticket);
        const objects = objectsIn(written);
        const chosen = objects[at % objects.length]!;
        const names = Object.keys(chosen);
        const changed = field % 3 === 0 || names.length === 0 ? name : names[field % names.length]!;
        if (field % 4 === 1) delete chosen[changed];
        else Object.defineProperty(chosen, changed, { value, enumerable: true, configurable: true, writable: true });
        const read = throughRedis(written);
        if (isTicket(read)) expect(ticketSchema.parse(read)).toEqual(read);
        else refused++;
      }),
      { numRuns: 2_000 },
    );
    expect(refused).toBeGreaterThan(200);
  });

  it('is not that of nothing', () => {
    for (const nothing of [undefined, null, 'ticket', 7, [], {}]) expect(isTicket(nothing)).toBe(false);
  });
});
