import {
  callPolicySchema,
  ENCODINGS,
  METERS,
  verdictWordSchema,
  type Metered,
  type ModelPrice,
  type PacedUnits,
  type Rates,
  type Ticket,
} from './jobs.js';
import type { CallPolicy } from './policy.js';

type Check = (value: unknown) => boolean;
type OptionalIn<T> = { [K in keyof T]-?: undefined extends T[K] ? K : never }[keyof T];
/** A check for each field, so that none is forgotten. */
type Needed<T> = Record<Exclude<keyof T, OptionalIn<T>>, Check>;
type Optional<T> = Record<OptionalIn<T>, Check>;

/** An object that has all needed fields, and no field that neither list names. */
function object<T>(needed: Needed<T>, optional: Optional<T>): Check {
  const isNeeded = new Set(Object.keys(needed));
  const checks = new Map<string, Check>(Object.entries({ ...needed, ...optional }));
  return (value) => {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return false;
    let found = 0;
    for (const [name, field] of Object.entries(value)) {
      if (checks.get(name)?.(field) !== true) return false;
      if (isNeeded.has(name)) found++;
    }
    return found === isNeeded.size;
  };
}

/** The schema leaves such a name out. */
const PROTO = '__proto__';

function record(check: Check, nameMax = Infinity): Check {
  return (value) =>
    typeof value === 'object' &&
    value !== null &&
    !Array.isArray(value) &&
    Object.entries(value).every(([name, field]) => name !== PROTO && name.length <= nameMax && check(field));
}

const text: Check = (value) => typeof value === 'string';
const short =
  (max: number): Check =>
  (value) =>
    typeof value === 'string' && value.length <= max;
const flag: Check = (value) => typeof value === 'boolean';
const number: Check = (value) => Number.isFinite(value);
const int: Check = (value) => Number.isSafeInteger(value);
const least =
  (min: number): Check =>
  (value) =>
    int(value) && (value as number) >= min;
const count = least(0);
const listOf =
  (check: Check, max = Infinity): Check =>
  (value) =>
    Array.isArray(value) && value.length <= max && value.every(check);
const oneOf = (words: readonly string[]): Check => {
  const known = new Set<unknown>(words);
  return (value) => known.has(value);
};

const rates: Needed<Rates> = { input: count, cachedInput: count, cacheWrite: count, output: count };
const metered = object<Metered>({}, Object.fromEntries(METERS.map((meter) => [meter, count])) as Optional<Metered>);
const { shape } = callPolicySchema;

const isShaped = object<Ticket>(
  {
    requestId: text,
    keyId: text,
    campaignId: text,
    replyTo: text,
    model: text,
    lane: text,
    stream: flag,
    facts: record((value) => flag(value) || number(value), 40),
    outputs: count,
    inputTokens: count,
    pacedTokens: count,
    weight: (value) => number(value) && (value as number) > 0,
    capTokens: count,
    capLowered: flag,
    price: object<ModelPrice>(rates, {
      imageInput: count,
      imageOutput: count,
      audioInput: count,
      audioOutput: count,
      seconds: count,
      characters: count,
      imageTokensPerImage: least(1),
      long: object<NonNullable<ModelPrice['long']>>({ ...rates, aboveTokens: least(1) }, {}),
    }),
    feeNano: text,
    tierPercent: least(100),
    heldNano: text,
    day: int,
    keepAnswer: flag,
    policy: object<CallPolicy>(
      {
        input: oneOf(shape.input.options),
        output: oneOf(shape.output.options),
        thresholds: record(number),
        onUnavailable: oneOf(shape.onUnavailable.options),
      },
      {
        flagsToo: listOf(text),
        images: (value) => value === 'data',
        shelf: (value) => value === 'off',
        guards: listOf(text),
        strikes: object<NonNullable<CallPolicy['strikes']>>(
          { cooldownAfter: number, cooldownMs: number, suspendAfter: number, windowMs: number },
          {},
        ),
      },
    ),
    inputVerdict: oneOf(verdictWordSchema.options),
    patienceMs: (value) => number(value) && (value as number) >= 0,
    acceptedMs: number,
  },
  {
    endpoint: short(100),
    remoteImages: count,
    estimate: metered,
    pacedUnits: object<PacedUnits>(
      {},
      {
        images: count,
        audioSeconds: count,
        drawing: listOf(object<NonNullable<PacedUnits['drawing']>[number]>({ name: text, slot: text, ipm: count }, {})),
      },
    ),
    tiers: record(least(1), 40),
    encoding: oneOf(ENCODINGS),
    takesBytes: flag,
    takesFlow: flag,
    takesFrames: flag,
    origin: short(300),
    repeatHash: short(64),
    dropped: listOf(short(64), 64),
    trace: short(100),
  },
);

/**
 * Whether a value is a ticket just as this version writes it, which the schema would only copy. It takes a third of the
 * schema's time. False says nothing: ask the schema, which also knows the defaults and names what is wrong.
 */
export function isTicket(value: unknown): value is Ticket {
  return isShaped(value);
}
