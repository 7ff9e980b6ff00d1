import { describe, expect, it } from '@jest/globals';
import { DaypassError } from '#libs/contracts/errors.js';
import { fieldsOfJson, jsonOfFields } from './form.fields.js';

const json = (...fields: [name: string, text: string][]): unknown =>
  jsonOfFields(fields.map(([name, text]) => ({ name, text })));

describe('the fields of a form', () => {
  it('are strings under their names', () => {
    expect(json(['model', 'm'], ['n', '2'], ['stream', 'true'], ['prompt', ''])).toEqual({
      model: 'm',
      n: '2',
      stream: 'true',
      prompt: '',
    });
  });

  it('make an array of a name with brackets, and of one that repeats', () => {
    expect(json(['a[]', '1'], ['b', '1'], ['b', '2'], ['a[]', '2'], ['c[]', 'x'])).toEqual({
      a: ['1', '2'],
      b: ['1', '2'],
      c: ['x'],
    });
  });

  it('make an object of a name with parts', () => {
    expect(json(['s[type]', 'server_vad'], ['s[of][one]', '1'], ['s[list][]', 'x'])).toEqual({
      s: { type: 'server_vad', of: { one: '1' }, list: ['x'] },
    });
  });

  it('can have any name, and change no object but their own', () => {
    const made = json(['__proto__', 'x'], ['a[__proto__][b]', 'y'], ['constructor', 'z']) as object;
    expect(Object.keys(made)).toEqual(['__proto__', 'a', 'constructor']);
    expect(Object.getPrototypeOf(made)).toBe(Object.prototype);
    expect(({} as { b?: string }).b).toBeUndefined();
  });

  it.each([
    [
      ['a', '1'],
      ['a[b]', '2'],
    ],
    [
      ['a[b]', '1'],
      ['a', '2'],
    ],
    [
      ['a[]', '1'],
      ['a[b]', '2'],
    ],
    [
      ['a[b]', '1'],
      ['a[]', '2'],
    ],
    [['[a]', '1']],
    [['a[', '1']],
    [['a]b', '1']],
    [['a[b]c', '1']],
    [['a[][b]', '1']],
    [['a[b][c][d]', '1']],
  ] as [string, string][][])('are refused by name where their names make no sense: %j', (...fields) => {
    const last = fields.at(-1)![0];
    expect(() => json(...fields)).toThrow(expect.objectContaining({ code: 'invalid_request', param: last }));
    expect(() => json(...fields)).toThrow(DaypassError);
  });

  it('go out as official clients write them, and come back the same', () => {
    const sent = { model: 'm', n: 2, stream: true, list: ['a', 'b'], of: { type: 't', less: 0.5 }, none: null };
    const fields = fieldsOfJson(sent);
    expect(fields.map(({ name, text }) => `${name}=${text}`)).toEqual([
      'model=m',
      'n=2',
      'stream=true',
      'list[]=a',
      'list[]=b',
      'of[type]=t',
      'of[less]=0.5',
    ]);
    expect(jsonOfFields(fields)).toEqual({
      model: 'm',
      n: '2',
      stream: 'true',
      list: ['a', 'b'],
      of: { type: 't', less: '0.5' },
    });
  });
});
