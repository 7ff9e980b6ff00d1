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

const count = z.number().int().min(1).max(1_000_000);

/** When repeated refusals have consequences. Counted and shown; acting on them comes with a later release. */
const strikesSchema = z.strictObject({
  cooldown_after: count.optional(),
  cooldown_seconds: count.optional(),
  suspend_after: count.optional(),
  window_seconds: count.optional(),
});

/**
 * A campaign's moderation policy. `parallel`, `window` and `trail` are served as `gate` until their own release:
 * stricter than asked, never laxer.
 */
export const moderationPolicySchema = z.strictObject({
  input: z.enum(['gate', 'parallel', 'observe', 'off']).default('gate'),
  output: z.enum(['gate', 'window', 'trail', 'observe', 'off']).default('gate'),
  /** Category → score from 0 to 1 at which it counts as flagged; a category not named uses the model's own flag. */
  thresholds: z.partialRecord(z.enum(MODERATION_CATEGORIES), z.number().min(0).max(1)).default({}),
  on_unavailable: z.enum(['closed', 'open']).default('closed'),
  strikes: strikesSchema.optional(),
});

export type ModerationPolicy = z.infer<typeof moderationPolicySchema>;

/** What of a policy is not served to the letter yet, in words for whoever sets it. */
export function policyWarnings(policy: ModerationPolicy): string[] {
  const warnings: string[] = [];
  for (const direction of ['input', 'output'] as const) {
    const mode = policy[direction];
    if (served(mode) !== mode) warnings.push(`moderation.${direction}: '${mode}' is served as 'gate', the stricter mode, until its own release`);
  }
  if (policy.strikes) warnings.push('moderation.strikes: strikes are counted and shown; suspending a key for them is up to you until their own release');
  return warnings;
}

/** What a caller may ask for on one call: more than the policy, never less. */
export interface ModerationWish {
  input: boolean;
  output: boolean;
}

export type EffectiveMode = 'gate' | 'observe' | 'off';

const STRICTNESS: Record<EffectiveMode, number> = { off: 0, observe: 1, gate: 2 };

function served(mode: ModerationPolicy['input'] | ModerationPolicy['output']): EffectiveMode {
  return mode === 'off' || mode === 'observe' ? mode : 'gate';
}

function stricter(a: EffectiveMode, b: EffectiveMode): EffectiveMode {
  return STRICTNESS[a] >= STRICTNESS[b] ? a : b;
}

/** The policy that one call is served under. */
export interface CallPolicy {
  input: EffectiveMode;
  output: EffectiveMode;
  thresholds: Partial<Record<string, number>>;
  /** Categories where the model's own flag counts beside the threshold: those that the key named and the campaign did not. */
  flagsToo?: string[] | undefined;
  onUnavailable: 'closed' | 'open';
}

/** Joins the campaign's policy, the key's own (which may only tighten it) and the caller's wish into one. */
export function effectivePolicy(campaign: ModerationPolicy, key: ModerationPolicy | null, wish: ModerationWish): CallPolicy {
  let input = served(campaign.input);
  let output = served(campaign.output);
  const thresholds: Partial<Record<string, number>> = { ...campaign.thresholds };
  const flagsToo: string[] = [];
  let onUnavailable = campaign.on_unavailable;
  if (key) {
    input = stricter(input, served(key.input));
    output = stricter(output, served(key.output));
    for (const [category, threshold] of Object.entries(key.thresholds)) {
      thresholds[category] = Math.min(threshold, thresholds[category] ?? 1);
      // A threshold replaces the model's own flag, so a high one would loosen what the campaign left to the flag.
      if (campaign.thresholds[category as keyof typeof campaign.thresholds] === undefined) flagsToo.push(category);
    }
    if (key.on_unavailable === 'closed') onUnavailable = 'closed';
  }
  return {
    input: wish.input ? 'gate' : input,
    output: wish.output ? 'gate' : output,
    thresholds,
    ...(flagsToo.length > 0 ? { flagsToo } : {}),
    onUnavailable,
  };
}
