import { findPhoneNumbersInText, type CountryCode } from 'libphonenumber-js/max';
import validator from 'validator';

/**
 * Runs in a guard's thread, as an operator's own module does, and imports nothing of Daypass. It gets texts in pieces,
 * because `libphonenumber-js` takes 50 µs for each character of some texts.
 */
type Kind = 'email' | 'phone' | 'credit_card' | 'iban' | 'ip_address';
interface Options {
  kinds: readonly Kind[];
  action: 'redact' | 'block';
  /** The guard also finds phone numbers in this country's national form. */
  country?: CountryCode;
}

/** Finds candidates, which the library then checks. Every repetition has a bound. */
const CANDIDATES: Record<Exclude<Kind, 'phone'>, RegExp> = {
  email: /[^\s@<>()[\]{}",;:|\\]{1,64}@[^\s@<>()[\]{}",;:|\\/]{1,253}/gu,
  credit_card: /(?<!\d)\d(?:[ -]?\d){11,18}(?!\d)/g,
  iban: /\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]){11,30}/g,
  ip_address: /(?<![\w.:])(?:\d{1,3}(?:\.\d{1,3}){3}|(?:[0-9A-Fa-f]{0,4}:){2,7}[0-9A-Fa-f]{0,4})(?![\w:]|\.\d)/g,
};

const IBAN_SHORTEST = 15;
/** A shorter one may be any number. */
const PHONE_SHORTEST = 7;

function emailIn(candidate: string): string | null {
  // A sentence may end with one.
  const trimmed = candidate.replace(/[.!?'*_`]+$/u, '').replace(/^['*_`]+/u, '');
  return validator.isEmail(trimmed) ? trimmed : null;
}

/** Letters and digits may follow an IBAN, so that the longest beginning that is one counts. */
function ibanIn(candidate: string): string | null {
  for (let end = candidate.length; end >= IBAN_SHORTEST; end--) {
    const part = candidate.slice(0, end);
    if (!part.endsWith(' ') && validator.isIBAN(part)) return part;
  }
  return null;
}

const FOUND: Record<Exclude<Kind, 'phone'>, (candidate: string) => string | null> = {
  email: emailIn,
  credit_card: (candidate) => (validator.isCreditCard(candidate) ? candidate : null),
  iban: ibanIn,
  ip_address: (candidate) => (validator.isIP(candidate) ? candidate : null),
};

interface Piece {
  text: string;
  /** What begins from here on, and before `until`, counts: other pieces show the rest in full. */
  from: number;
  until: number;
}

function find(kind: Kind, { text, from, until }: Piece, country: CountryCode | undefined): string[] {
  const isMine = (startsAt: number): boolean => startsAt >= from && startsAt < until;
  if (kind === 'phone') {
    const numbers = findPhoneNumbersInText(text, country).filter(
      ({ number, startsAt }) => isMine(startsAt) && number.isValid() && number.nationalNumber.length >= PHONE_SHORTEST,
    );
    return numbers.map(({ startsAt, endsAt }) => text.slice(startsAt, endsAt));
  }
  return [...text.matchAll(CANDIDATES[kind])].flatMap(({ 0: candidate, index }) =>
    isMine(index) ? (FOUND[kind](candidate) ?? []) : [],
  );
}

/** `content`: one piece of a text. */
export function check(content: readonly Piece[], { options }: { options: Options }) {
  const found = new Map<string, Kind>();
  for (const piece of content) {
    for (const kind of options.kinds)
      for (const value of find(kind, piece, options.country)) if (!found.has(value)) found.set(value, kind);
  }
  const categories = [...new Set(found.values())].sort().map((kind) => `personal_data/${kind}`);
  if (options.action === 'block') return { flagged: found.size > 0, categories };
  return {
    flagged: false,
    categories,
    redactions: [...found].map(([value, kind]) => ({ find: value, replace: `[${kind}]` })),
  };
}
