import { describe, expect, it } from '@jest/globals';
import { readReply, readReplyParts, writtenReply, type Reply } from './reply.js';

const meta = { moderation: { input: 'pass', output: 'pass' }, queueMs: 1.5, costNano: '12' } as const;
const head = { type: 'answer', status: 200, contentType: 'application/json', headers: { 'x-a': 'b' }, meta } as const;
const read = (reply: Reply, takesBytes: boolean) => readReply(Buffer.from(writtenReply(reply, takesBytes)));

describe('a whole answer on its way to ingress', () => {
  it.each([
    ['text', '{"a":"line\\nline","ü":"\u{1F600}"}'],
    ['lines', 'data: {}\n\ndata: [DONE]\n\n'],
    ['nothing', ''],
  ])('has the bytes of its body (%s), in either form', (_, body) => {
    const expected = { ...head, bytes: Buffer.from(body) };
    expect(read({ ...head, body }, true)).toEqual(expected);
    expect(read({ ...head, body }, false)).toEqual(expected);
  });

  it('has bytes that are no text, in either form', () => {
    const bytes = Buffer.from([0xff, 0x0a, 0x00, 0xfe]);
    const answer = { ...head, body: bytes.toString('base64'), binary: true };
    expect(read(answer, true)).toEqual({ ...head, bytes });
    expect(read(answer, false)).toEqual({ ...head, bytes });
  });

  it('has a head whose values cannot end it', () => {
    const headers = { 'x-a': 'one\ntwo' };
    expect(read({ ...head, headers, body: 'b' }, true)).toEqual({ ...head, headers, bytes: Buffer.from('b') });
  });

  it('is JSON for an ingress that cannot read bytes', () => {
    const answer = { ...head, body: 'b' };
    expect(JSON.parse(writtenReply(answer, false).toString())).toEqual(answer);
  });
});

describe('reading replies', () => {
  it.each<Reply>([
    { type: 'open', meta },
    { type: 'open', meta, status: 200, contentType: 'a/b', headers: {}, bytes: 12 },
    { type: 'frames', n: 0, text: 'data: {}\n\n' },
    { type: 'end', frames: 1, text: 'x', whole: true },
    { type: 'desk', body: '{}' },
  ])('gives what was written ($type)', (reply) => {
    for (const takesBytes of [true, false]) expect(read(reply, takesBytes)).toEqual(reply);
    expect(readReplyParts(JSON.stringify([{ id: 'a', reply }]))).toEqual([{ id: 'a', reply }]);
  });

  it('fills in what a version before left out', () => {
    const { headers: _, ...without } = head;
    expect(readReply(Buffer.from(JSON.stringify({ ...without, body: 'b' })))).toEqual({
      ...without,
      headers: {},
      bytes: Buffer.from('b'),
    });
  });

  it.each([
    ['of no type', {}],
    ['without a status', { ...head, status: undefined, body: '' }],
    ['without a content type', { ...head, contentType: 1, body: '' }],
    ['without a meta', { ...head, meta: undefined, body: '' }],
    ['without verdicts', { ...head, meta: { queueMs: 1 }, body: '' }],
    ['with frames that have no number', { type: 'frames', n: -1, text: '' }],
    ['with frames without text', { type: 'frames', n: 0 }],
    ['with an end that counts nothing', { type: 'end' }],
  ])('refuses one %s, and says so', (_, value) => {
    expect(() => readReply(Buffer.from(JSON.stringify(value)))).toThrow(/"path"/);
  });

  it('refuses what is no JSON', () => {
    expect(() => readReply(Buffer.from('not JSON'))).toThrow(SyntaxError);
    expect(() => readReply(Buffer.from('not JSON\nbody'))).toThrow(SyntaxError);
  });
});
