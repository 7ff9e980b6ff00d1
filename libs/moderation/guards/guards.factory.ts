import { extname } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { GuardSettings } from '#libs/config/guard-settings.js';
import type { Moderator } from '../moderator.js';
import type { Guard } from './guard.js';
import { ModerationGuard } from './moderation.guard.js';
import { GuardPipeline } from './pipeline.js';
import { ProviderGuard } from './provider.guard.js';
import { BlocklistGuard, RegexGuard } from './text.guards.js';
import { ThreadGuard } from './thread.guard.js';
import { WebhookGuard } from './webhook.guard.js';

const PERSONAL_DATA = new URL(`./personal-data.module${extname(import.meta.url)}`, import.meta.url).href;
const BOTH = ['input', 'output'] as const;

/** Makes the guards that every Daypass has, and those of DAYPASS_CONFIG. @throws when a guard's module does not load */
export async function createGuards(
  settings: readonly GuardSettings[],
  moderator: Moderator,
  moderationModel: string,
): Promise<GuardPipeline> {
  const added = settings.map((one) => ({ ...one, guard: guardOf(one) }));
  await Promise.all(added.flatMap(({ guard }) => (guard instanceof ThreadGuard ? [guard.start()] : [])));
  return new GuardPipeline([
    { guard: new ProviderGuard(), directions: ['output'], always: true, local: true, ofProvider: true },
    ...added.map(({ guard, directions, always, type }) => ({
      guard,
      directions,
      always,
      local: type !== 'webhook' && type !== 'module',
    })),
    { guard: new ModerationGuard(moderator, moderationModel), directions: BOTH, always: true, local: false },
  ]);
}

function guardOf(settings: GuardSettings): Guard {
  const { name } = settings;
  switch (settings.type) {
    case 'blocklist':
      return new BlocklistGuard(name, settings.words);
    case 'regex':
      return new RegexGuard(name, settings.patterns);
    case 'webhook':
      return new WebhookGuard(name, { url: settings.url, secret: settings.secret, timeoutMs: settings.timeout_ms });
    case 'personal_data': {
      const { kinds, action, country, timeout_ms: timeoutMs } = settings;
      return new ThreadGuard(name, settings.type, {
        moduleUrl: PERSONAL_DATA,
        options: { kinds, action, country },
        timeoutMs,
        takesPieces: true,
      });
    }
    case 'module':
      return new ThreadGuard(name, settings.type, {
        moduleUrl: pathToFileURL(settings.path).href,
        options: settings.options,
        timeoutMs: settings.timeout_ms,
      });
  }
}
