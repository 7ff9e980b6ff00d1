import type { Gate } from '#libs/contracts/claims.js';

interface Configured {
  github?: object | undefined;
  mail?: object | undefined;
}

/** The settings that a gate lacks, as an operator reads them; null: it has all. */
export function missingFor(gate: Gate, { github, mail }: Configured): string | null {
  if (gate === 'github' && github === undefined) return 'DAYPASS_GITHUB_CLIENT_ID and DAYPASS_GITHUB_CLIENT_SECRET';
  if (gate === 'email' && mail === undefined) return 'DAYPASS_SMTP_URL and DAYPASS_MAIL_FROM';
  return null;
}
