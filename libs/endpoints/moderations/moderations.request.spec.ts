import { describe, expect, it } from '@jest/globals';
import { inquiryOf, writtenInquiry } from './moderations.request.js';

const OWN = 'omni-moderation-latest';
const png = { type: 'image_url', image_url: { url: 'data:image/png;base64,iVBORw0KGgo=' } };
const read = (body: unknown) => inquiryOf(body, OWN);

describe('a request to the moderation endpoint', () => {
  it('is a text, texts, or parts with an image', () => {
    expect(read({ input: 'abcde' })).toEqual({ model: OWN, input: 'abcde', tokens: 2, results: 1 });
    expect(read({ input: ['a', 'b'], model: 'omni-moderation-2024-09-26' })).toMatchObject({
      model: 'omni-moderation-2024-09-26',
      results: 2,
    });
    expect(read({ input: [{ type: 'text', text: 'abcd' }, png] })).toMatchObject({ tokens: 1_001, results: 1 });
    expect(inquiryOf({ input: 'a', model: 'guard-7b' }, 'guard-7b').model).toBe('guard-7b');
  });

  it('keeps what was declared, and nothing else', () => {
    expect(JSON.parse(writtenInquiry(read({ input: [png] })))).toEqual({ model: OWN, input: [png] });
  });

  it.each([
    [{}, 'input'],
    [{ input: [] }, 'input'],
    [{ input: '' }, 'input'],
    [{ input: Array.from({ length: 33 }, () => 'a') }, 'input'],
    [{ input: ['a', png] }, 'input'],
    [{ input: ['a', ''] }, 'input'],
    [{ input: [png, png] }, 'input'],
    [{ input: [{ type: 'image_url', image_url: { url: 'file:///etc/passwd' } }] }, 'input[0].image_url.url'],
    [{ input: [{ type: 'audio' }] }, 'input[0].type'],
    [{ input: 'a', model: 'text-moderation-stable' }, 'model'],
    [{ input: 'a', user: 'me' }, 'user'],
    ['text', undefined],
  ])('is refused by name: %j', (body, param) => {
    expect(() => read(body)).toThrow(expect.objectContaining({ param }));
  });
});
