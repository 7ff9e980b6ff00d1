import { describe, expect, it } from '@jest/globals';
import { readAddress } from './email.address.js';

const subjectOf = (typed: string): string | undefined => readAddress(typed)?.subject;

describe('an e-mail address', () => {
  it.each([
    ['jane@acme.example', 'email:jane@acme.example'],
    [' Jane@ACME.example ', 'email:jane@acme.example'],
    ['jane+try2@acme.example', 'email:jane@acme.example'],
    ['jane.doe@acme.example', 'email:jane.doe@acme.example'],
    ['J.a.n.e+a+b@GoogleMail.com', 'email:jane@gmail.com'],
    ['jane@gmail.com', 'email:jane@gmail.com'],
    ['jane@bücher.example', 'email:jane@xn--bcher-kva.example'],
    ['ｊane@acme.example', 'email:jane@acme.example'],
  ])('%s is %s', (typed, subject) => expect(subjectOf(typed)).toBe(subject));

  it.each([
    '',
    'jane',
    'jane@',
    '@acme.example',
    '+x@acme.example',
    'jane@localhost',
    'a b@acme.example',
    'jane@acme.example, joe@acme.example',
    'jane@acme.example\r\nbcc: joe@acme.example',
    'Jane <jane@acme.example>',
    '"a b"@acme.example',
    'jane@[127.0.0.1]',
    `${'a'.repeat(65)}@acme.example`,
    `${'a@'.repeat(2_000)}acme.example`,
  ])('is none: %j', (typed) => expect(readAddress(typed)).toBeNull());

  it('keeps what the mail goes to as its owner wrote it', () => {
    expect(readAddress('Jane+Try@ACME.example')).toEqual({
      typed: 'Jane+Try@acme.example',
      domain: 'acme.example',
      subject: 'email:jane@acme.example',
    });
  });
});
