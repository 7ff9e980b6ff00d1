import validator from 'validator';

export interface EmailAddress {
  /** Where mails go. */
  typed: string;
  domain: string;
  /** Names the person: the same for all ways of writing the address. */
  subject: string;
}

const GMAIL = ['gmail.com', 'googlemail.com'];

/**
 * null: it is no address. Case, and what follows a plus sign, lead to the same mailbox almost everywhere. Gmail has dots
 * that do not count, and two domains.
 */
export function readAddress(text: string): EmailAddress | null {
  const typed = text.trim().normalize('NFKC');
  if (!validator.isEmail(typed, { allow_utf8_local_part: false, blacklisted_chars: '"' })) return null;
  const at = typed.lastIndexOf('@');
  const url = `http://${typed.slice(at + 1)}`;
  if (!URL.canParse(url)) return null;
  const domain = new URL(url).hostname;
  const [mailbox = ''] = typed.slice(0, at).toLowerCase().split('+');
  const isGmail = GMAIL.includes(domain);
  const folded = isGmail ? mailbox.replaceAll('.', '') : mailbox;
  if (folded === '') return null;
  return {
    typed: `${typed.slice(0, at)}@${domain}`,
    domain,
    subject: `email:${folded}@${isGmail ? GMAIL[0] : domain}`,
  };
}
