import type { ModerationWish } from '#libs/contracts/policy.js';

/** Joins what headers and body ask for: more moderation than the policy, never less. */
export function wishOf(
  asked: ModerationWish,
  headers: Readonly<Record<string, string | string[] | undefined>>,
): ModerationWish {
  const wants = (name: string): boolean => /^(1|true|yes|on)$/i.test(String(headers[name] ?? ''));
  return {
    input: asked.input || wants('x-daypass-moderate-input'),
    output: asked.output || wants('x-daypass-moderate-output'),
  };
}
