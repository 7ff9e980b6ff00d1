import { describe, expect, it } from '@jest/globals';
import { DaypassError } from '#libs/contracts/errors.js';
import { withHelp } from '#libs/contracts/help.js';
import { MisshapenAnswer, UpstreamStreamError, type Shown } from '../endpoint.js';
import { GENERATIONS } from './images.endpoint.js';
import { ANSWER_BYTES_MAX, ImagesReader, isLast, streamError } from './images.reader.js';
import { readUsage } from './usage.js';

const ONE = 'iVBORw0KGgoAAAAN';
const TWO = '/9j/4AAQ';
const USAGE = { input_tokens: 10, output_tokens: 50, input_tokens_details: { text_tokens: 10, image_tokens: 0 } };
const bytesOf = (value: unknown): Uint8Array => Buffer.from(typeof value === 'string' ? value : JSON.stringify(value));
const jsonOf = ({ body }: Shown): unknown =>
  JSON.parse(typeof body === 'string' ? body : Buffer.concat([body].flat() as Uint8Array[]).toString());
const whole = (value: unknown, reader = new ImagesReader({ facts: {} })) =>
  reader.whole(bytesOf(value), 'application/json');
const answer = {
  created: 1,
  data: [{ b64_json: ONE, revised_prompt: 'A garden', url: 'https://example.org' }, { b64_json: TWO }],
  usage: USAGE,
  safety_identifier: 'ours',
};

describe('an answer in one piece', () => {
  it('is read in pieces of any size, and shown as it came, but for what is not the visitor’s', () => {
    const bytes = bytesOf(answer);
    for (const size of [1, 7, 1_000]) {
      const reader = new ImagesReader({ facts: {} });
      for (let at = 0; at < bytes.length; at += size) reader.add(bytes.subarray(at, at + size));
      const read = reader.whole(new Uint8Array(), 'application/json');
      expect(jsonOf(read.shown([])!)).toEqual({
        created: 1,
        data: [{ b64_json: ONE, revised_prompt: 'A garden' }, { b64_json: TWO }],
        usage: USAGE,
      });
      expect(reader.report.metered).toEqual({ input: 10, imageInput: 0, output: 0, imageOutput: 50 });
    }
  });

  it('has a part for each image, with its text, and is shown without some of them', () => {
    const read = whole(answer);
    expect(read.parts).toEqual([
      [
        { kind: 'image', url: `data:image/png;base64,${ONE}` },
        { kind: 'text', text: 'A garden' },
      ],
      [{ kind: 'image', url: `data:image/jpeg;base64,${TWO}` }],
    ]);
    expect(jsonOf(read.shown([], new Set([0]))!)).toMatchObject({ data: [{ b64_json: TWO }] });
    expect(jsonOf(read.shown([{ find: 'garden', replace: '…' }])!)).toMatchObject({
      data: [{ revised_prompt: 'A …' }, {}],
    });
  });

  it('that moderation took away is the error that OpenAI has for it', () => {
    const blocked = whole(answer).blocked(['violence']);
    expect(blocked.status).toBe(400);
    expect(jsonOf(blocked)).toMatchObject({
      error: {
        type: 'image_generation_user_error',
        code: 'moderation_blocked',
        moderation_details: { categories: ['violence'], moderation_stage: 'output' },
      },
    });
  });

  it.each([
    ['no picture', { data: [{ b64_json: btoa('no picture') }] }],
    ['no base64', { data: [{ b64_json: `${ONE}<script>` }] }],
    ['numbers', { data: [{ b64_json: [1, 2] }] }],
    ['no images', { data: [] }],
    ['an address', { data: [{ url: 'https://example.org/a.png' }] }],
    ['an image elsewhere', { data: [{ b64_json: ONE }], more: { b64_json: TWO } }],
    ['an error', { error: { message: 'no' } }],
    ['no JSON', 'no'],
  ])('is none with %s', (_, value) => expect(() => whole(value)).toThrow(MisshapenAnswer));

  it('is an answer that broke off where it ends in the middle of an image', () => {
    const cut = JSON.stringify(answer).slice(0, 40);
    expect(() => whole(cut)).toThrow('broke off');
    expect(() => whole(cut)).not.toThrow(MisshapenAnswer);
  });

  it('is read no further than its bound', () => {
    const reader = new ImagesReader({ facts: {} });
    expect(() => reader.add(new Uint8Array(ANSWER_BYTES_MAX + 1))).toThrow(DaypassError);
  });
});

describe('a stream', () => {
  const partial = { type: 'image_generation.partial_image', b64_json: ONE, partial_image_index: 0, size: '1024x1024' };
  const completed = { type: 'image_generation.completed', b64_json: TWO, usage: USAGE };
  const read = (events: readonly unknown[], reader = new ImagesReader({ facts: {} })) =>
    events.flatMap((event) => reader.event({ data: JSON.stringify(event) }));

  it('has a frame for each image, and is over with the last', () => {
    const reader = new ImagesReader({ facts: {} });
    const frames = read([partial, completed, partial], reader);
    expect(frames).toMatchObject([
      { images: [{ kind: 'image', url: `data:image/png;base64,${ONE}` }], texts: [], closing: false },
      { images: [{ kind: 'image', url: `data:image/jpeg;base64,${TWO}` }], texts: [], closing: true },
    ]);
    expect(frames.map(({ text }) => isLast(text))).toEqual([false, true]);
    expect(isLast(frames.map(({ text }) => text).join(''))).toBe(true);
    expect([reader.done, reader.end()]).toEqual([true, []]);
    expect(reader.report.metered).toMatchObject({ imageOutput: 50 });
  });

  it('is none, or broke off, where its last image is missing', () => {
    expect(() => new ImagesReader({ facts: {} }).end()).toThrow(MisshapenAnswer);
    const reader = new ImagesReader({ facts: {} });
    read([partial], reader);
    expect(() => reader.end()).toThrow('before its last image');
  });

  it('ends with an error where an image is none', () => {
    const none = { ...partial, b64_json: btoa('no picture') };
    expect(() => read([none])).toThrow(MisshapenAnswer);
    expect(() => read([partial, none])).toThrow(UpstreamStreamError);
  });

  it('that moderation stopped says so in the form that clients read', () => {
    const ending = new ImagesReader({ facts: {} }).ending({ kind: 'blocked', categories: ['sexual'] });
    expect(ending).toMatch(/^event: error\ndata: \{"type":"error","error":\{.*"moderation_stage":"output"/);
    expect(isLast(ending)).toBe(true);
    expect(isLast(streamError(withHelp(new DaypassError('overloaded', 'x').body(), undefined)))).toBe(true);
    expect(GENERATIONS.isLast(': waiting\n\n')).toBe(false);
  });
});

describe('the usage of images', () => {
  it.each([
    [USAGE, false, { input: 10, imageInput: 0, output: 0, imageOutput: 50 }],
    [{ input_tokens: 10, output_tokens: 50 }, true, { input: 0, imageInput: 10, output: 0, imageOutput: 50 }],
    [
      { ...USAGE, output_tokens_details: { text_tokens: 20, image_tokens: 30 } },
      false,
      { input: 10, imageInput: 0, output: 20, imageOutput: 30 },
    ],
    [
      { ...USAGE, output_tokens_details: { text_tokens: 20 } },
      false,
      { input: 10, imageInput: 0, output: 20, imageOutput: 30 },
    ],
    [undefined, false, null],
    [{ input_tokens: 1, output_tokens: 0 }, false, null],
    [{ input_tokens: -1, output_tokens: 5 }, false, null],
  ])('is all that it says, case %#', (usage, hasImages, metered) =>
    expect(readUsage(usage, hasImages)).toEqual(metered),
  );
});
