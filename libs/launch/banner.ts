import { relative } from 'node:path';
import { SERVICES } from '#libs/config/config.js';
import { ENDPOINTS } from '#libs/endpoints/registry.js';
import type { Demo } from './demo.js';
import { FLAGGED_PHRASE } from '#libs/rehearsal/rehearsal.moderation.js';
import type { LaunchSettings } from './settings.js';

export interface BannerFacts {
  settings: LaunchSettings;
  demo: Demo;
  adminTokenFile: string | undefined;
  startedInMs: number;
}

/** What a newcomer needs: addresses, and lines to paste. */
export function bannerOf({ settings, demo, adminTokenFile, startedInMs }: BannerFacts): string {
  const origin = `http://localhost:${settings.visitorsPort}`;
  const visitors = `${origin}/v1`;
  const ops = SERVICES.map((name) => `${name} ${settings.opsPorts[name]}`).join(', ');
  const token = adminTokenFile ? `token in ${here(adminTokenFile)}` : 'token as in DAYPASS_ADMIN_TOKEN';
  const lines = [
    '',
    `Daypass is ready (${(startedInMs / 1000).toFixed(1)} s).`,
    '',
    `  Visitors    ${visitors}`,
    `  Admin API   http://localhost:${settings.adminPort}/admin/docs   (${token})`,
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

/** As the reader would type it, where that is shorter. */
function here(path: string): string {
  const fromHere = relative(process.cwd(), path);
  return fromHere.startsWith('..') ? path : fromHere;
}
