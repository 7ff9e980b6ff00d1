import { SERVICE_TIERS } from '#libs/money/tiers.js';
import type { Notes } from './compile.js';
import {
  either,
  harmless,
  list,
  name,
  object,
  ours,
  pricedWord,
  text,
  variants,
  word,
  type Fields,
  type Shape,
} from './declaration.js';
import type { Request } from './endpoint.js';

/** What requests of several APIs have. */

/** OpenAI's limits, or above them. */
export const PARTS_MAX = 2_048;
export const TOOLS_MAX = 1_024;
/** Tokens. A cap beyond this is refused even for models whose longest answer nobody documents. */
export const CAP_MAX = 10_000_000;

/** E.g. `gpt-5.4-mini`, `ft:gpt-4o:org::id`, `openai/gpt-5@2026`, `BAAI/bge-m3`. */
export const MODEL = name(/^[A-Za-z0-9_.:@/+-]{1,200}$/);

/** A cache that lives for half a day costs twice what the price source says. So its cost has no bound here. */
export const CACHE_TTL = pricedWord('a prompt cache that lives longer than 30 minutes', '30m');
export const CACHE_MODE = word('implicit', 'explicit');
export const CACHE_RETENTION = word('in_memory', 'in-memory', '24h');
/** Of each part of a content: where a cached prefix ends, and how other providers mark it, without effect here. */
export const PART_FIELDS: Fields = {
  prompt_cache_breakpoint: object({ mode: word('explicit'), ttl: CACHE_TTL }),
  cache_control: harmless,
};
export const contentOf = (parts: Readonly<Record<string, Shape>>): Shape =>
  either(text, list(variants('type', parts, 'content'), PARTS_MAX));
export const IMAGE_DETAIL = word('auto', 'low', 'high', 'original');

export const EFFORT = word('none', 'minimal', 'low', 'medium', 'high', 'xhigh', 'max');
export const ASKED_TIER = ours(pricedWord('the service tier', 'auto', ...SERVICE_TIERS));
/** The tier that a request is sent under. What the project is set to may be dearer, and unnamed nobody could bound it. */
export function tierIn({ ours: said }: Notes): string {
  const tier = said.get('service_tier') as string | undefined;
  return tier === undefined || tier === 'auto' ? 'default' : tier;
}

/** What `WISHES` of a body ask for. */
export const wishIn = ({ ours: said }: Notes): Request['wish'] => ({
  input: said.get('moderateInput') === true,
  output: said.get('moderateOutput') === true,
});

/** How long an answer is, or how much a search reads. */
export const LEVEL = word('low', 'medium', 'high');
export const CITY: Fields = { city: text, country: text, region: text, timezone: text };

const MODERATION_MODE = object({ mode: word('score', 'block') });
/** The provider's own moderation of a call. */
export const MODERATION = object(
  {
    model: name(/^omni-moderation-[a-z0-9-]{1,40}$/, { unpriceable: 'the moderation model' }),
    policy: object({ input: MODERATION_MODE, output: MODERATION_MODE }),
  },
  'model',
);
