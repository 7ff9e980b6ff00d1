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

/** As many as a key's strikes are remembered. */
export const STRIKES_MAX = 100;
const strikes = z.number().int().min(1).max(STRIKES_MAX);
const seconds = z
  .number()
  .int()
  .min(1)
  .max(366 * 86_400);

/**
 * When repeated refusals have consequences: after so many within the window the key rests for a while, after so many it is
 * suspended until a person reinstates it.
 */
const strikesSchema = z.strictObject({
  cooldown_after: strikes.optional(),
  cooldown_seconds: seconds.optional(),
  suspend_after: strikes.optional(),
  window_seconds: seconds.optional(),
});

const guardNames = z.array(z.string().min(1).max(63)).max(50);

/**
 * A campaign's moderation policy. Under `parallel` the call is sent while its input is judged, and nothing is shown before the
 * verdict. `window` and `trail` are ways to stream; an answer in one piece is judged whole before it is shown under both.
 */
export const moderationPolicySchema = z.strictObject({
  input: z.enum(['gate', 'parallel', 'observe', 'off']).default('gate'),
  output: z.enum(['gate', 'window', 'trail', 'observe', 'off']).default('gate'),
  /** Category → score from 0 to 1 at which it counts as flagged; a category not named uses the model's own flag. */
  thresholds: z.partialRecord(z.enum(MODERATION_CATEGORIES), z.number().min(0).max(1)).default({}),
  on_unavailable: z.enum(['closed', 'open']).default('closed'),
  /** Guards of DAYPASS_CONFIG that look at these calls, beside those that look at all. */
  guards: guardNames.optional(),
  strikes: strikesSchema.optional(),
});

export type ModerationPolicy = z.infer<typeof moderationPolicySchema>;

/** What a caller may ask for on one call: more than the policy, never less. */
export interface ModerationWish {
  input: boolean;
  output: boolean;
}

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

/** The policy that one call is served under. */
export interface CallPolicy {
  input: InputMode;
  output: OutputMode;
  thresholds: Partial<Record<string, number>>;
  /** Categories where the model's own flag counts beside the threshold: those that the key named and the campaign did not. */
  flagsToo?: string[] | undefined;
  onUnavailable: 'closed' | 'open';
  /** Guards beside those that look at every call. */
  guards?: string[] | undefined;
  strikes?: StrikePolicy | undefined;
}

/** 0: never. */
export interface StrikePolicy {
  cooldownAfter: number;
  cooldownMs: number;
  suspendAfter: number;
  windowMs: number;
}

const COOLDOWN_SECONDS = 600;
const WINDOW_SECONDS = 86_400;

/** Fewer strikes, longer rests and a longer memory are the tighter. */
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

/** Joins the campaign's policy, the key's own (which may only tighten it) and the caller's wish into one, for a stream or for an answer in one piece. */
export function effectivePolicy(
  campaign: ModerationPolicy,
  key: ModerationPolicy | null,
  wish: ModerationWish,
  stream: boolean,
): CallPolicy {
  let input = campaign.input;
  let output = campaign.output;
  const thresholds: Partial<Record<string, number>> = { ...campaign.thresholds };
  const flagsToo: string[] = [];
  let onUnavailable = campaign.on_unavailable;
  if (key) {
    input = stricter(input, key.input);
    output = stricter(output, key.output);
    for (const [category, threshold] of Object.entries(key.thresholds)) {
      thresholds[category] = Math.min(threshold, thresholds[category] ?? 1);
      // A threshold replaces the model's own flag, so a high one would loosen what the campaign left to the flag.
      if (campaign.thresholds[category as keyof typeof campaign.thresholds] === undefined) flagsToo.push(category);
    }
    if (key.on_unavailable === 'closed') onUnavailable = 'closed';
  }
  const guards = [...new Set([...(campaign.guards ?? []), ...(key?.guards ?? [])])];
  const strikesToo = strikePolicy(campaign.strikes, key?.strikes);
  // Who asks for moderation wants to see nothing that was not judged, and may have a stream all the same.
  if (wish.output) output = stricter(output, 'window');
  if (!stream && (output === 'window' || output === 'trail')) output = 'gate';
  return {
    input: wish.input ? 'gate' : input,
    output,
    thresholds,
    ...(flagsToo.length > 0 ? { flagsToo } : {}),
    onUnavailable,
    ...(guards.length > 0 ? { guards } : {}),
    ...(strikesToo ? { strikes: strikesToo } : {}),
  };
}
