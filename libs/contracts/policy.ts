import { z } from 'zod';

/** The categories of `omni-moderation-2024-09-26` (OpenAI, "Moderation"). */
export const MODERATION_CATEGORIES = [
  'harassment',
  'harassment/threatening',
  'hate',
  'hate/threatening',
  'illicit',
  'illicit/violent',
  'self-harm',
  'self-harm/intent',
  'self-harm/instructions',
  'sexual',
  'sexual/minors',
  'violence',
  'violence/graphic',
] as const;

/** Redis keeps so many strikes of a key. */
export const STRIKES_MAX = 100;
const strikes = z.number().int().min(1).max(STRIKES_MAX);
const seconds = z
  .number()
  .int()
  .min(1)
  .max(366 * 86_400);

/**
 * What strikes lead to. After `cooldown_after` of them within the window the key rests. After `suspend_after` of them
 * it is suspended until a person reinstates it.
 */
const strikesSchema = z.strictObject({
  cooldown_after: strikes.optional(),
  cooldown_seconds: seconds.optional(),
  suspend_after: strikes.optional(),
  window_seconds: seconds.optional(),
});

const guardNames = z.array(z.string().min(1).max(63)).max(50);

/**
 * A campaign's moderation policy. Under `parallel` the guards judge the input while the call runs, and the visitor sees
 * nothing before the verdict. `window` and `trail` are for streams; under both the guards judge a whole answer before
 * the visitor sees it.
 */
export const moderationPolicySchema = z.strictObject({
  input: z.enum(['gate', 'parallel', 'observe', 'off']).default('gate'),
  output: z.enum(['gate', 'window', 'trail', 'observe', 'off']).default('gate'),
  /** By category: the score from 0 to 1 that flags content. On other categories the model's own flag decides. */
  thresholds: z.partialRecord(z.enum(MODERATION_CATEGORIES), z.number().min(0).max(1)).default({}),
  /** `open` lets content through while nobody can judge it, but none that a guard refused. */
  on_unavailable: z.enum(['closed', 'open']).default('closed'),
  /**
   * How a request may name an image. `fetch` (the default): by its address, too. Then Daypass fetches it once, judges
   * it and forwards what it judged. `data`: as a `data:` URL only.
   */
  images: z.enum(['fetch', 'data']).optional(),
  /** `off`: Daypass keeps no responses and no conversations, so that requests cannot name any. `on` is the default. */
  shelf: z.enum(['on', 'off']).optional(),
  /** `off`: nobody judges the inputs of embeddings, whose answers show nothing. Absent: `input` holds for them, too. */
  embeddings: z.enum(['off']).optional(),
  /** Guards of DAYPASS_CONFIG that judge these calls, beside those that judge every call. */
  guards: guardNames.optional(),
  strikes: strikesSchema.optional(),
});

export type ModerationPolicy = z.infer<typeof moderationPolicySchema>;

/** What a visitor may ask for on one call: more moderation than the policy, never less. */
export interface ModerationWish {
  input: boolean;
  output: boolean;
}

/** What a campaign may exempt from the judging of inputs. */
export type Waiver = 'embeddings';

export type InputMode = ModerationPolicy['input'];
export type OutputMode = ModerationPolicy['output'];

const STRICTNESS: Record<InputMode | OutputMode, number> = {
  off: 0,
  observe: 1,
  trail: 2,
  window: 3,
  parallel: 3,
  gate: 4,
};

function stricter<T extends InputMode | OutputMode>(a: T, b: T): T {
  return STRICTNESS[a] >= STRICTNESS[b] ? a : b;
}

/** The policy of one call. */
export interface CallPolicy {
  input: InputMode;
  output: OutputMode;
  thresholds: Partial<Record<string, number>>;
  /** Categories whose flag counts beside the threshold: the key has a threshold for them, and the campaign has none. */
  flagsToo?: string[] | undefined;
  onUnavailable: 'closed' | 'open';
  /** Present: an image must be a `data:` URL. */
  images?: 'data' | undefined;
  /** Present: nothing of the call is kept for later requests, and it names nothing. */
  shelf?: 'off' | undefined;
  /** Guards beside those that judge every call. */
  guards?: string[] | undefined;
  strikes?: StrikePolicy | undefined;
}

/** `cooldownAfter`, `suspendAfter`: 0: never. */
export interface StrikePolicy {
  cooldownAfter: number;
  cooldownMs: number;
  suspendAfter: number;
  windowMs: number;
}

const COOLDOWN_SECONDS = 600;
const WINDOW_SECONDS = 86_400;

/** Joins strike policies into the strictest: the fewest strikes, the longest rest and the longest window. */
function strikePolicy(...written: (ModerationPolicy['strikes'] | undefined)[]): StrikePolicy | undefined {
  const given = written.filter((one) => one !== undefined);
  if (given.length === 0) return undefined;
  const least = (of: 'cooldown_after' | 'suspend_after'): number => {
    const named = given.flatMap((one) => one[of] ?? []);
    return named.length > 0 ? Math.min(...named) : 0;
  };
  const longest = (of: 'cooldown_seconds' | 'window_seconds', fallback: number): number => {
    const named = given.flatMap((one) => one[of] ?? []);
    return 1_000 * (named.length > 0 ? Math.max(...named) : fallback);
  };
  return {
    cooldownAfter: least('cooldown_after'),
    cooldownMs: longest('cooldown_seconds', COOLDOWN_SECONDS),
    suspendAfter: least('suspend_after'),
    windowMs: longest('window_seconds', WINDOW_SECONDS),
  };
}

/**
 * Joins the campaign's policy, the key's own, which may only tighten it, and the visitor's wish. `stream`: for a
 * stream, rather than for a whole answer. `waiver`: what the campaign may exempt the call as.
 */
export function effectivePolicy(
  campaign: ModerationPolicy,
  key: ModerationPolicy | null,
  wish: ModerationWish,
  stream: boolean,
  waiver?: Waiver,
): CallPolicy {
  let input: InputMode = waiver !== undefined && campaign[waiver] === 'off' ? 'off' : campaign.input;
  let output = campaign.output;
  const thresholds: Partial<Record<string, number>> = { ...campaign.thresholds };
  const flagsToo: string[] = [];
  let onUnavailable = campaign.on_unavailable;
  if (key) {
    input = stricter(input, key.input);
    output = stricter(output, key.output);
    for (const [category, threshold] of Object.entries(key.thresholds)) {
      thresholds[category] = Math.min(threshold, thresholds[category] ?? 1);
      // A threshold replaces the model's own flag, so that a high one could loosen the campaign's policy.
      if (campaign.thresholds[category as keyof typeof campaign.thresholds] === undefined) flagsToo.push(category);
    }
    if (key.on_unavailable === 'closed') onUnavailable = 'closed';
  }
  const guards = [...new Set([...(campaign.guards ?? []), ...(key?.guards ?? [])])];
  const strikesToo = strikePolicy(campaign.strikes, key?.strikes);
  // A visitor who asks for moderation sees only judged content, but may still have a stream.
  if (wish.output) output = stricter(output, 'window');
  if (!stream && (output === 'window' || output === 'trail')) output = 'gate';
  return {
    input: wish.input ? 'gate' : input,
    output,
    thresholds,
    ...(flagsToo.length > 0 ? { flagsToo } : {}),
    onUnavailable,
    ...(campaign.images === 'data' || key?.images === 'data' ? { images: 'data' as const } : {}),
    ...(campaign.shelf === 'off' || key?.shelf === 'off' ? { shelf: 'off' as const } : {}),
    ...(guards.length > 0 ? { guards } : {}),
    ...(strikesToo ? { strikes: strikesToo } : {}),
  };
}
