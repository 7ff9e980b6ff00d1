/** A mail in plain text. */
export interface Mail {
  subject: string;
  text: string;
}

/** An operator wrote it. A subject has one line. */
const oneLine = (text: string): string =>
  text
    .replaceAll(/[\p{C}\p{Zl}\p{Zp}]+/gu, ' ')
    .trim()
    .slice(0, 200);

const NOT_YOU = 'If you did not ask for this, ignore it: without the mail nobody can use your address.';

/** The six digits that a claim link asks for. */
export function codeMail({
  title,
  code,
  url,
  minutes,
}: {
  title: string;
  code: string;
  url: string;
  minutes: number;
}): Mail {
  const shown = `${code.slice(0, 3)} ${code.slice(3)}`;
  return {
    subject: `${code} is your code: ${oneLine(title)}`,
    text: [
      `Your code for "${oneLine(title)}" is ${shown}.`,
      `Type it on the page where you asked for it. It works once, for ${minutes} minutes.`,
      `Or open the page with the code filled in:\n${url}`,
      NOT_YOU,
    ].join('\n\n'),
  };
}

/** A one-time code for somebody of the waitlist. */
export function inviteMail({
  title,
  url,
  code,
  expiresAt,
  contact,
}: {
  title: string;
  url: string;
  code: string;
  expiresAt: Date | null;
  contact: string | null;
}): Mail {
  return {
    subject: `A key for you: ${oneLine(title)}`,
    text: [
      `You asked for a key of "${oneLine(title)}". Now there is one for you.`,
      `Open this page, and press the button:\n${url}`,
      `Your one-time code is ${code}. It makes one key${expiresAt === null ? '' : `, until ${expiresAt.toISOString()}`}.`,
      ...(contact === null ? [] : [`Questions: ${oneLine(contact)}`]),
      'You left your address on the page of this project. It sends no further mail.',
    ].join('\n\n'),
  };
}
