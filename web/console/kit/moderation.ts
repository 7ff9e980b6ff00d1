import type { MODERATION_CATEGORIES, ModerationPolicy } from '#libs/contracts/policy.js';

export type Category = (typeof MODERATION_CATEGORIES)[number];
/** All of them: the type says when one is missing. */
const NAMES: Readonly<Record<Category, true>> = {
  harassment: true,
  'harassment/threatening': true,
  hate: true,
  'hate/threatening': true,
  illicit: true,
  'illicit/violent': true,
  'self-harm': true,
  'self-harm/intent': true,
  'self-harm/instructions': true,
  sexual: true,
  'sexual/minors': true,
  violence: true,
  'violence/graphic': true,
};
export const CATEGORIES = Object.keys(NAMES) as Category[];

export const INPUT_MODES: readonly { value: ModerationPolicy['input']; label: string }[] = [
  { value: 'gate', label: 'Before the call (gate)' },
  { value: 'parallel', label: 'While the call runs (parallel)' },
  { value: 'observe', label: 'Only written down (observe)' },
  { value: 'off', label: 'Not at all (off)' },
];
export const OUTPUT_MODES: readonly { value: ModerationPolicy['output']; label: string }[] = [
  { value: 'gate', label: 'The whole answer first (gate)' },
  { value: 'window', label: 'In pieces while it streams (window)' },
  { value: 'trail', label: 'Behind the stream (trail)' },
  { value: 'observe', label: 'Only written down (observe)' },
  { value: 'off', label: 'Not at all (off)' },
];
