import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import type { Content } from '#libs/endpoints/content.js';
import { cpuMs } from '#libs/testing/cpu-time.js';
import { folded } from './fold.js';
import { BlocklistGuard } from './text.guards.js';

const found = async (words: readonly string[], content: Content): Promise<boolean> =>
  (await new BlocklistGuard('words', words).check([content])).flagged;
const foundIn = (words: readonly string[], text: string): Promise<boolean> => found(words, { kind: 'text', text });
const tags = (text: string): string =>
  [...text].map((one) => String.fromCodePoint(0xe0000 + one.charCodeAt(0))).join('');

describe('a blocklist finds', () => {
  it.each([
    ['a zero-width joiner', 'vol\u200ddemort'],
    ['a soft hyphen', 'vol\u00addemort'],
    ['a stroke over each letter', [...'voldemort'].map((one) => `${one}\u0336`).join('')],
    ['heaps of marks', `v${'\u0300\u0489'.repeat(20)}oldemort`],
    ['marks of another script', 'vol\u093f\u0e34demort'],
    ['Cyrillic letters', 'vоldеmоrt'],
    ['Cyrillic capitals', 'VОLDЕМОRТ'],
    ['Cyrillic т and м beside Latin letters', 'voldeмorт'],
    ['Greek letters', 'vοldemοrt'],
    ['Greek τ beside Latin letters', 'voldemorτ'],
    ['Greek capitals', 'VΟLDΕΜΟRΤ'],
    ['full width', 'ｖｏｌｄｅｍｏｒｔ'],
    ['mathematical bold', '𝐯𝐨𝐥𝐝𝐞𝐦𝐨𝐫𝐭'],
    ['mathematical script', '𝓥𝓸𝓵𝓭𝓮𝓶𝓸𝓻𝓽'],
    ['marks of direction', '\u202evol\u200fde\u202cmort\u2066'],
    ['tag characters', `vol${tags('x')}demort`],
    ['nothing but tag characters', tags('say Voldemort')],
    ['variation selectors', 'vo\ufe0fl\u{e0100}demort'],
    ['a Hangul filler', 'vol\u3164dem\u115fort'],
    ['a Hangul filler for a space', 'say\u3164voldemort\u3164now'],
    ['a zero-width space for a space', 'say\u200bvoldemort\u200bnow'],
    ['a zero-width no-break space for a space', 'say\ufeffvoldemort'],
    ['case', 'vOlDeMoRt'],
    ['superscripts', 'ᵛᵒˡᵈᵉᵐᵒʳᵗ'],
    ['circled letters', 'ⓥⓞⓛⓓⓔⓜⓞⓡⓣ'],
    ['negative circled and squared letters', '🅥🅞🅛🅳🅴🅼🅾🆁🆃'],
    ['small capitals', 'ᴠᴏʟᴅᴇᴍᴏʀᴛ'],
    ['letters with a stroke', 'vøłđemørt'],
    ['a capital I for l', 'voIdemort'],
    ['digits that look like letters', 'v01dem0rt'],
    ['a bar for l', 'vo|demort'],
    ['a bar beside it', '|voldemort|'],
  ])('a word in spite of %s', async (_, text) => expect(await foundIn(['Voldemort'], text)).toBe(true));

  it.each([
    ['the ligature ﬁ', 'file', 'ﬁle'],
    ['the ligature æ', 'aether', 'æther'],
    ['ß', 'strasse', 'Straße'],
    ['a capital ß', 'Straße', 'STRAẞE'],
    ['a dotless i', 'kill', 'kıll'],
    ['a Turkish İ', 'kill', 'KİLL'],
    ['1 for i', 'kill', 'k1ll'],
    ['capitals of another script', 'hit', 'НIТ'],
    ['a final sigma', 'σοφος', 'ΣΟΦΟΣ'],
    ['й, which NFKD takes apart', 'злой', 'ЗЛОИ\u0306'],
    ['Latin letters in a Cyrillic word', 'рост', 'pocт'],
    ['Arabic vowel signs', 'كتاب', 'كِتَاب'],
    ['a Persian ya', 'علي', 'علی'],
    ['Hebrew points', 'שלום', 'שָׁלוֹם'],
    ['a hyphen of another kind', 'hand-made', 'hand\u2011made'],
    ['an apostrophe of another kind', "don't", 'don’t'],
  ])('what %s hides', async (_, word, text) => expect(await foundIn([word], `so ${text}!`)).toBe(true));

  it.each(['हिन्दी', 'กิน', 'ばか', 'நன்றி', 'කොළඹ', '한국', 'việt', '炸弹', 'אבג', 'ދިވެހި'])(
    'the word %s as it stands, and only whole',
    async (word) => {
      expect(await foundIn([word], `(${word})`)).toBe(true);
      expect(await foundIn([word], word.normalize('NFD'))).toBe(true);
      expect(await foundIn([word], `${word}${word}`)).toBe(false);
    },
  );

  it('a phrase that two parts of a message share', async () => {
    const content: Content = { kind: 'text', text: 'say Volde\nmort', joined: 'say Voldemort' };
    expect(await found(['voldemort'], content)).toBe(true);
  });

  it('what it looks for, in whatever letters', () => {
    const styles = [
      (one: string) => one.toUpperCase(),
      (one: string) => `${one}\u0301`,
      (one: string) => `\u2060${one}`,
      (one: string) => String.fromCodePoint(0x1d41a + one.charCodeAt(0) - 97),
      (one: string) => String.fromCodePoint(0x24d0 + one.charCodeAt(0) - 97),
    ];
    return fc.assert(
      fc.asyncProperty(
        fc.stringMatching(/^[a-z]{1,10}$/),
        fc.array(fc.constantFrom(...styles), { minLength: 10, maxLength: 10 }),
        async (word, styled) =>
          expect(await foundIn([word], [...word].map((one, at) => styled[at]!(one)).join(''))).toBe(true),
      ),
    );
  });
});

describe('a blocklist lets pass', () => {
  it.each([
    ['a number', 'loo', 'room 100'],
    ['a Russian word', 'bot', 'вот и всё'],
    ['m where rn was meant', 'modem', 'a modern house'],
    ['i where l was meant', 'fall', 'do not fail'],
    ['another vowel sign', 'कुल', 'कल'],
    ['another beginning of a Hindi word', 'हिन्द', 'हिन्दी'],
    ['another tone', 'ปา', 'ป่า'],
    ['another voicing', 'ばか', 'はか'],
    ['a letter that looks like a sign', 'me', 'með'],
    ['a soft hyphen within another word', 'ana', 'ana\u00adlysis'],
    ['letters with spaces between', 'voldemort', 'v o l d e m o r t'],
    ['a text without words', 'voldemort', '\u200b\u0301 …'],
  ])('%s', async (_, word, text) => expect(await foundIn([word], text)).toBe(false));

  it('everything, where its words have nothing to see', async () => {
    expect(await foundIn(['\u200b', ' ', '\u0301'], 'anything \u200b')).toBe(false);
  });
});

describe('folding', () => {
  it('takes any text, lone surrogates too', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), fc.constantFrom('\ud83d', '\ude00', ''), (text, half) => {
        expect(typeof folded(text + half + text)).toBe('string');
      }),
    );
  });

  it.each([
    ['English', 'I say that in 100 words or so. '],
    ['Russian', 'Вот и всё, что Я хотел сказать. '],
    ['heaps of marks', '\u0301\u093f'],
    ['marks behind a letter of India', 'क\u093f\u0301\u200b'],
    ['ones and noughts', '01'],
    ['bars', 'I|l1'],
  ])('takes time in proportion to a text of %s', async (_, part) => {
    const text = part.repeat(Math.ceil(1_000_000 / part.length));
    const begunMs = cpuMs();
    expect(await foundIn(['voldemort'], text)).toBe(false);
    expect(cpuMs() - begunMs).toBeLessThan(5_000);
  });
});
