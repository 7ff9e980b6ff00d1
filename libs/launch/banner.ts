import { relative } from 'node:path';
import { SERVICES } from '#libs/config/config.js';
import { ENDPOINTS } from '#libs/endpoints/registry.js';
import type { Demo } from './demo.js';
import { FLAGGED_PHRASE } from '#libs/rehearsal/rehearsal.moderation.js';
import type { LaunchSettings } from './settings.js';

export interface BannerFacts {
  settings: LaunchSettings;
  demo: Demo;
  /** Where other machines of this network reach the visitors' port. */
  lanAddress: string | undefined;
  adminTokenFile: string | undefined;
  /** The Postgres that the launcher started. `passwordFile`: the auditor's; undefined: the environment has it. */
  books: { url: string; passwordFile: string | undefined } | undefined;
  startedInMs: number;
}

/** What a newcomer needs: addresses, and lines to paste. */
export function bannerOf({ settings, lanAddress, demo, adminTokenFile, books, startedInMs }: BannerFacts): string {
  const origin = `http://localhost:${settings.visitorsPort}`;
  const visitors = `${origin}/v1`;
  const ops = SERVICES.map((name) => `${name} ${settings.opsPorts[name]}`).join(', ');
  const token = adminTokenFile ? `token in ${here(adminTokenFile)}` : 'token as in DAYPASS_ADMIN_TOKEN';
  const fromNetwork = (path: string): string[] =>
    lanAddress === undefined
      ? []
      : [`              http://${lanAddress}:${settings.visitorsPort}${path} from this network`];
  const lines = [
    '',
    `Daypass is ready (${(startedInMs / 1000).toFixed(1)} s).`,
    '',
    `  Visitors    ${visitors}`,
    ...fromNetwork('/v1'),
    `  Claim       ${origin}${demo.claimPath}   (a page that gives a key to whoever opens it)`,
    ...fromNetwork(demo.claimPath),
    `  Console     http://localhost:${settings.adminPort}/console`,
    `              ${demo.signInUrl} signs in once, within 5 minutes`,
    `  Admin API   http://localhost:${settings.adminPort}/admin/docs   (${token})`,
    '  Command     npm run daypass -- --help   (what the console does, in a shell)',
    `  Health      http://localhost:${settings.opsPorts.ingress}/health/ready and /metrics   (${ops})`,
    `  Logs, data  ${here(settings.logDir)}, ${here(settings.dataDir)}`,
    ...(settings.rehearsed
      ? ['', '  No OPENAI_API_KEY is set: answers are rehearsed, no model reads them and nothing is spent upstream.']
      : []),
    '',
    'Ask something with the demo key, then read what it has left:',
    '',
    curlCall(origin, demo.key, 'Say hello to a newcomer.'),
    '',
    `curl ${visitors}/key -H "Authorization: Bearer ${demo.key}"`,
    ...(settings.rehearsed
      ? ['', 'A message that moderation refuses:', '', curlCall(origin, demo.key, FLAGGED_PHRASE)]
      : []),
    '',
    ...(books
      ? ['The books, read by the auditor (docs/audit.md), wherever there is a psql:', '', psqlLine(books), '']
      : []),
    'Ctrl-C ends all of it; the next start goes on with the same keys and balances.',
    '',
  ];
  return lines.join('\n');
}

function curlCall(origin: string, key: string, content: string): string {
  const endpoint = ENDPOINTS[0]!;
  const body = JSON.stringify(endpoint.sample('gpt-5.4-mini', content));
  return `curl ${origin}${endpoint.path} -H "Authorization: Bearer ${key}" -H "Content-Type: application/json" -d '${body}'`;
}

/** The password stays in its file: terminals are filmed and logged. */
function psqlLine({ url, passwordFile }: NonNullable<BannerFacts['books']>): string {
  const { hostname, port, pathname } = new URL(url);
  const password =
    passwordFile === undefined ? '"$DAYPASS_AUDITOR_PASSWORD"' : `"$(cat ${quoted(here(passwordFile))})"`;
  const query = 'SELECT * FROM ledger.statement_by_campaign';
  return `PGPASSWORD=${password} psql -h ${hostname} -p ${port} -U auditor -d ${pathname.slice(1)} -c '${query}'`;
}

/** For a shell, where it needs quotes. */
function quoted(path: string): string {
  return /^[\w./-]+$/.test(path) ? path : `'${path.replaceAll("'", `'\\''`)}'`;
}

/** As the reader would type it, where that is shorter. */
function here(path: string): string {
  const fromHere = relative(process.cwd(), path);
  return fromHere.startsWith('..') ? path : fromHere;
}
