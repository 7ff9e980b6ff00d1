import { describe, expect, it } from '@jest/globals';
import { either, flag, list, number, object, ours, text, whole, word, type Shape } from './declaration.js';
import { fromForm } from './form.values.js';

const FORM: Shape = object({
  prompt: text,
  temperature: number(0, 1),
  n: ours(whole(1, 4)),
  stream: flag,
  format: word('json', 'text'),
  include: list(word('logprobs'), 1),
  chunks: either(word('auto'), object({ threshold: number(0, 1) })),
});

describe('the fields of a form', () => {
  it.each<[string, object, object]>([
    ['numbers', { temperature: '0.5', n: '2' }, { temperature: 0.5, n: 2 }],
    ['flags, as Python writes them, too', { stream: 'True' }, { stream: true }],
    ['texts that look like numbers', { prompt: '12' }, { prompt: '12' }],
    ['one value of a list', { include: 'logprobs' }, { include: ['logprobs'] }],
    ['parts of an object', { chunks: { threshold: '0.25' } }, { chunks: { threshold: 0.25 } }],
    ['a word where an object may stand', { chunks: 'auto' }, { chunks: 'auto' }],
    [
      'fields without a value',
      { temperature: '', stream: '', format: '', include: '', prompt: '' },
      { temperature: null, stream: null, format: null, include: null, prompt: '' },
    ],
  ])('are %s', (_, form, json) => {
    expect(fromForm(FORM, form)).toEqual(json);
  });

  it.each(['1e3', '0x10', ' 1', 'one', 'Infinity', '1'.repeat(40)])(
    'are no numbers where they look otherwise: %j',
    (temperature) => {
      expect(fromForm(FORM, { temperature })).toEqual({ temperature });
    },
  );

  it('keep what no declaration has, so that it is refused by its name', () => {
    const form = JSON.parse('{"__proto__": "1", "other": "x"}') as object;
    expect(JSON.stringify(fromForm(FORM, form))).toBe('{"__proto__":"1","other":"x"}');
  });
});
