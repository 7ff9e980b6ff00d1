import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { encode as encodeCl100k } from 'gpt-tokenizer/encoding/cl100k_base';
import { encode } from 'gpt-tokenizer/encoding/o200k_base';
import { ENCODINGS, type Encoding } from '#libs/contracts/jobs.js';
import { encodingOf } from './encodings.js';
import { countTextTokens as countUnder, decodeTokens } from './tokens.js';

const countTextTokens = (texts: readonly string[], encoding: Encoding = 'o200k_base') => countUnder(texts, encoding);

const AS_TEXT = { disallowedSpecial: new Set<string>() };
const EXACT = {
  o200k_base: (text: string) => encode(text, AS_TEXT).length,
  cl100k_base: (text: string) => encodeCl100k(text, AS_TEXT).length,
};

/** A sentence of each script, and what visitors paste: code, numbers, symbols. */
const SCRIPTS = {
  English: 'All human beings are born free and equal in dignity and rights.',
  Georgian: 'ყველა ადამიანი იბადება თავისუფალი და თანასწორი თავისი ღირსებითა და უფლებებით.',
  Malayalam: 'മനുഷ്യരെല്ലാവരും തുല്യാവകാശങ്ങളോടും അന്തസ്സോടും സ്വാതന്ത്ര്യത്തോടുംകൂടി ജനിച്ചിട്ടുള്ളവരാണ്.',
  Hindi: 'सभी मनुष्यों को गौरव और अधिकारों के मामले में जन्मजात स्वतन्त्रता और समानता प्राप्त है।',
  Arabic: 'يولد جميع الناس أحراراً متساوين في الكرامة والحقوق.',
  Hebrew: 'כל בני אדם נולדו בני חורין ושווים בערכם ובזכויותיהם.',
  Russian: 'Все люди рождаются свободными и равными в своем достоинстве и правах.',
  Greek: 'Όλοι οι άνθρωποι γεννιούνται ελεύθεροι και ίσοι στην αξιοπρέπεια και τα δικαιώματα.',
  Armenian: 'Բոլոր մարդիկ ծնվում են ազատ ու հավասար իրենց արժանապատվությամբ ու իրավունքներով։',
  Amharic: 'የሰው ልጅ ሁሉ ሲወለድ ነጻና በክብርና በመብትም እኩልነት ያለው ነው።',
  Burmese: 'လူတိုင်းသည် တူညီ လွတ်လပ်သော ဂုဏ်သိက္ခာဖြင့် လည်းကောင်း မွေးဖွားလာသူများ ဖြစ်သည်။',
  Thai: 'มนุษย์ทั้งหลายเกิดมามีอิสระและเสมอภาคกันในเกียรติศักดิ์และสิทธิ',
  Tamil: 'மனிதப் பிறிவியினர் சகலரும் சுதந்திரமாகவே பிறக்கின்றனர்.',
  Chinese: '人人生而自由，在尊严和权利上一律平等。',
  Japanese: 'すべての人間は、生まれながらにして自由であり、かつ、尊厳と権利とについて平等である。',
  Korean: '모든 인간은 태어날 때부터 자유로우며 그 존엄과 권리에 있어 동등하다.',
  emoji: '👩‍👩‍👧‍👦🏳️‍🌈👍🏽 🇬🇪🇮🇳 ✨',
  code: 'for (let i = 0; i < 10; i++) {\n    console.log(`${i}:\t${items[i]?.name ?? "—"}`);\n}\n',
  numbers: '3.14159265358979 0xDEADBEEF 2026-11-26T12:30:48Z 4111111111111111',
};

/** The most that this thread worked in one turn of the event loop while the work was under way, in ms. What other processes take of the machine does not count. */
async function longestTurn(work: Promise<unknown>): Promise<number> {
  let longest = 0;
  let last = process.threadCpuUsage();
  let running = true;
  const watch = (): void => {
    const { user, system } = process.threadCpuUsage(last);
    longest = Math.max(longest, (user + system) / 1_000);
    last = process.threadCpuUsage();
    if (running) setImmediate(watch);
  };
  setImmediate(watch);
  await work;
  running = false;
  return longest;
}

describe('the encoding of a model', () => {
  it.each<[string, Encoding]>([
    ['gpt-4', 'cl100k_base'],
    ['gpt-4-0613', 'cl100k_base'],
    ['gpt-4-32k', 'cl100k_base'],
    ['gpt-4-turbo', 'cl100k_base'],
    ['gpt-4-turbo-2024-04-09', 'cl100k_base'],
    ['gpt-3.5-turbo-0125', 'cl100k_base'],
    ['gpt-35-turbo', 'cl100k_base'],
    ['text-embedding-3-small', 'cl100k_base'],
    ['ft:gpt-3.5-turbo-0125:org::id', 'cl100k_base'],
    ['ft:gpt-4-0613:org::id', 'cl100k_base'],
    ['azure/gpt-4', 'cl100k_base'],
    ['gpt-4o', 'o200k_base'],
    ['gpt-4o-mini-2024-07-18', 'o200k_base'],
    ['ft:gpt-4o-mini-2024-07-18:org::id', 'o200k_base'],
    ['openai/gpt-4o', 'o200k_base'],
    ['gpt-4.1-nano', 'o200k_base'],
    ['gpt-5.4-mini', 'o200k_base'],
    ['gpt-5.6-sol', 'o200k_base'],
    ['o3', 'o200k_base'],
    ['o4-mini-2025-04-16', 'o200k_base'],
    ['gpt-oss-120b', 'o200k_base'],
    ['chat-latest', 'o200k_base'],
    ['llama-4', 'bytes'],
    ['meta-llama/Llama-4-Scout', 'bytes'],
    ['somebody/gpt-4o', 'bytes'],
    ['gpt-400', 'bytes'],
    ['gpt-50', 'bytes'],
    ['text-embedding-004', 'bytes'],
    ['text-davinci-003', 'bytes'],
    ['gpt-7', 'bytes'],
    ['toString', 'bytes'],
    ['__proto__', 'bytes'],
  ])('of %s is %s', (model, encoding) => expect(encodingOf(model)).toBe(encoding));
});

describe('counting tokens', () => {
  it('is below what the model counts by at most a token a cut, in any script and any mixture of scripts', async () => {
    const pieces = fc.array(
      fc.oneof(fc.constantFrom(...Object.values(SCRIPTS)), fc.string({ unit: 'grapheme', maxLength: 40 })),
      {
        minLength: 1,
        maxLength: 12,
      },
    );
    await fc.assert(
      fc.asyncProperty(pieces, fc.constantFrom('', ' ', '\n'), async (texts, between) => {
        const text = texts.join(between);
        const bytes = await countTextTokens([text], 'bytes');
        for (const encoding of ['o200k_base', 'cl100k_base'] as const) {
          const counted = await countTextTokens([text], encoding);
          // A tokenizer takes pairs as they come, so that halves may need a token less. The bound's margin covers it.
          const cuts = Math.floor(text.length / 255);
          expect(counted + cuts).toBeGreaterThanOrEqual(EXACT[encoding](text));
          expect(bytes).toBeGreaterThanOrEqual(counted);
        }
      }),
      { numRuns: 200 },
    );
  });

  it.each(Object.entries(SCRIPTS))('follows the tables of the model for %s', async (_, text) => {
    for (const encoding of ['o200k_base', 'cl100k_base'] as const)
      expect(await countTextTokens([text], encoding)).toBe(EXACT[encoding](text));
  });

  it('under the tables of another model would be far below, which is why the model decides', async () => {
    for (const script of ['Georgian', 'Malayalam', 'Hindi'] as const) {
      const others = await countTextTokens([SCRIPTS[script]], 'o200k_base');
      expect(await countTextTokens([SCRIPTS[script]], 'cl100k_base')).toBeGreaterThan(2 * others);
    }
  });

  it('counts prose exactly as the tokenizer does', async () => {
    const text = 'Daypass lets the owner of one account hand visitors ad hoc keys with a budget.';
    expect(await countTextTokens([text, text])).toBe(2 * encode(text).length);
  });

  it('takes special tokens for the text that they are', async () => {
    expect(await countTextTokens(['<|endoftext|>'])).toBeGreaterThan(1);
  });

  it('never counts less than the tokenizer, and little more, however the text is cut', async () => {
    const text = 'The quick brown fox jumps over the lazy dog; 漢字かな交じり文。 😀 '.repeat(200);
    const exact = encode(text).length;
    const counted = await countTextTokens([text]);
    expect(counted).toBeGreaterThanOrEqual(exact);
    expect(counted).toBeLessThan(exact * 1.05);
  });

  const random = (from: number, size: number) => (length: number) =>
    Array.from({ length }, (_, index) => String.fromCharCode(from + ((index * 2_654_435_761) % size))).join('');

  it.each([
    ['a megabyte of one letter', 'a'.repeat(1_000_000)],
    ['a megabyte of blanks', ' '.repeat(1_000_000)],
    // At once these would take longer than a test may.
    ['60,000 CJK characters without a break', random(0x4e00, 20_000)(60_000)],
    ['a hundred thousand emoji', '😀'.repeat(100_000)],
  ])('gives the event loop its turn while it counts %s', async (_, text) => {
    for (const encoding of ENCODINGS) {
      await countTextTokens([text.slice(0, 5_000)], encoding);
      const turns: number[] = [];
      // A collection of garbage falls into one turn or another, so the best of three counts.
      for (let round = 0; round < 3; round++) turns.push(await longestTurn(countTextTokens([text], encoding)));
      expect(Math.min(...turns)).toBeLessThan(10);
    }
  });

  it('lets a short text through while many long ones wait', async () => {
    const long = Array.from({ length: 20 }, () => countTextTokens([random(0x4e00, 20_000)(50_000)]));
    const order: string[] = [];
    const all = Promise.all(long).then(() => order.push('long'));
    await countTextTokens(['short']).then(() => order.push('short'));
    await all;
    expect(order).toEqual(['short', 'long']);
  });
});

describe('tokens as text', () => {
  const text = Object.values(SCRIPTS).join('\n');

  it.each(['o200k_base', 'cl100k_base'] as const)('are what they were made of (%s)', async (encoding) => {
    const tokens = encoding === 'o200k_base' ? encode(text, AS_TEXT) : encodeCl100k(text, AS_TEXT);
    expect(await decodeTokens([tokens, [], tokens.slice(0, 2)], encoding)).toEqual([text, '', 'All human']);
  });

  it('leave no half of a character to the next text', async () => {
    const halves = encodeCl100k('\u{1F600}').slice(0, -1);
    expect(halves.length).toBeGreaterThan(0);
    const hello = encodeCl100k('Hello');
    expect(await decodeTokens([halves, hello], 'cl100k_base')).toEqual(['\ufffd', 'Hello']);
    expect(await decodeTokens([hello], 'cl100k_base')).toEqual(['Hello']);
  });

  it.each([
    ['bytes', [[1]], 'unknown encoding'],
    ['cl100k_base', [[1], [100_256]], 'unknown token'],
    // A special token is no text.
    ['cl100k_base', [[100_257]], 'unknown token'],
    ['cl100k_base', [Array.from({ length: 100_000 }, () => encodeCl100k(' '.repeat(80))[0]!)], 'too long'],
  ] as [Encoding, number[][], string][])('are none under %s', async (encoding, lists, why) => {
    expect(await decodeTokens(lists, encoding)).toBe(why);
  });

  it('let other work go on after each few thousand', async () => {
    await decodeTokens([[1]], 'cl100k_base');
    let turns = 0;
    let isDecoding = true;
    const watch = (): void => {
      turns++;
      if (isDecoding) setImmediate(watch);
    };
    setImmediate(watch);
    await decodeTokens([Array<number>(20_000).fill(1), Array<number>(20_000).fill(1)], 'cl100k_base');
    isDecoding = false;
    expect(turns).toBeGreaterThanOrEqual(8);
  });

  it('never hold the event loop, however many they are', async () => {
    const tokens = Array.from({ length: 300_000 }, (_, index) => (index * 7_919) % 100_000);
    await decodeTokens([[1]], 'cl100k_base');
    expect(await longestTurn(decodeTokens([tokens], 'cl100k_base'))).toBeLessThan(20);
  });
});
