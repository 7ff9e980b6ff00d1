import { describe, expect, it } from '@jest/globals';
import { answerOf, readBody, writtenBody } from './body.js';

describe('a waiting body', () => {
  it('is the request itself, as the record has it, where nothing is kept beside it', () => {
    const json = { model: 'm', input: ['a'] };
    expect(writtenBody({ json, blobs: [] })).toBe(JSON.stringify(json));
    expect(readBody(JSON.stringify(json))).toEqual({ json, blobs: [] });
  });

  it('comes back with what is kept', () => {
    const body = { json: { model: 'm' }, blobs: [], kept: { store: true } };
    expect(readBody(writtenBody(body))).toEqual(body);
  });

  it("tells its answer's reader what is kept, what was sent, and who answers", () => {
    const json = { input: ['Hi'] };
    expect(answerOf({ json, blobs: [], kept: { store: true } }, 'beef')).toEqual({
      kept: { store: true },
      sent: json,
      tag: 'beef',
    });
  });
});
