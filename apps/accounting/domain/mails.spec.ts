import { describe, expect, it } from '@jest/globals';
import { githubApiOf } from './github-api.js';
import { codeMail, inviteMail } from './mails.js';

describe('a mail', () => {
  it('has the digits, and a subject of one line, whatever the operator calls the project', () => {
    const title = 'Try\r\nBcc: x@example.org\u202e Acme';
    const { subject, text } = codeMail({ title, code: '012345', url: 'https://try.example/c/x#email=a', minutes: 15 });
    expect(subject).toBe('012345 is your code: Try Bcc: x@example.org  Acme');
    expect(text).toContain('is 012 345.\n');
    expect(text).toContain('\nhttps://try.example/c/x#email=a\n');
  });

  it('that invites says until when, and whom to ask', () => {
    const mail = { title: 'Acme', url: 'https://x/c/y#code=Z', code: '7K3M-9QX2-HV4T', contact: 'us@acme.example' };
    const { text } = inviteMail({ ...mail, expiresAt: new Date(0) });
    for (const part of [mail.url, mail.code, 'until 1970-01-01T00:00:00.000Z', mail.contact])
      expect(text).toContain(part);
    expect(inviteMail({ ...mail, expiresAt: null, contact: null }).text).not.toMatch(/until|Questions/);
  });
});

describe('the API of a GitHub', () => {
  it.each([
    ['https://github.com', 'https://api.github.com'],
    ['https://acme.ghe.com', 'https://api.acme.ghe.com'],
    ['https://github.acme.example:8443', 'https://github.acme.example:8443/api/v3'],
    ['https://evilghe.com', 'https://evilghe.com/api/v3'],
  ])('of %s is %s', (url, api) => expect(githubApiOf(url)).toBe(api));
});
