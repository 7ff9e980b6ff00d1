/** The three policies that the wizard offers, and how people choose among them. */
export const SAFETY = [
  {
    name: 'careful',
    label: 'Careful',
    text: 'Every prompt and every whole answer is checked before it goes on. Answers come at once, not word by word.',
    input: 'gate',
    output: 'gate',
  },
  {
    name: 'fast',
    label: 'Fast',
    text: 'Prompts are checked first. Answers are checked in pieces while they stream.',
    input: 'gate',
    output: 'window',
  },
  {
    name: 'after',
    label: 'After',
    text: 'Prompts are checked first. Answers stream freely, are checked after, and cut where they are bad.',
    input: 'gate',
    output: 'trail',
  },
] as const;
export type SafetyName = (typeof SAFETY)[number]['name'];

/** A key rests after three refused prompts within a day, and is suspended after five. */
export const STRIKES = { cooldown_after: 3, cooldown_seconds: 600, suspend_after: 5, window_seconds: 86_400 };
