/**
 * Requests and tokens a minute by usage tier, from OpenAI's pages of omni-moderation, gpt-5.2 (`flagship`) and
 * gpt-5-mini (`mini`). A lane starts with them. The limits in the upstream's headers then replace them.
 */
export const PRESETS = {
  'moderation-free': [250, 10_000],
  'moderation-1': [500, 10_000],
  'moderation-2': [500, 20_000],
  'moderation-3': [1_000, 50_000],
  'moderation-4': [2_000, 250_000],
  'moderation-5': [5_000, 500_000],
  'flagship-1': [500, 500_000],
  'flagship-2': [5_000, 1_000_000],
  'flagship-3': [5_000, 2_000_000],
  'flagship-4': [10_000, 4_000_000],
  'flagship-5': [15_000, 40_000_000],
  'mini-1': [500, 500_000],
  'mini-2': [5_000, 2_000_000],
  'mini-3': [5_000, 4_000_000],
  'mini-4': [10_000, 10_000_000],
  'mini-5': [30_000, 180_000_000],
} as const;
type Preset = keyof typeof PRESETS;

export const PRESET_NAMES = Object.keys(PRESETS) as [Preset, ...Preset[]];

/** Fills in the preset's numbers where the lane names none. */
export function withPreset<
  T extends { preset?: Preset | undefined; rpm?: number | undefined; tpm?: number | undefined },
>({ preset, ...settings }: T): Omit<T, 'preset'> {
  if (!preset) return settings;
  const [rpm, tpm] = PRESETS[preset];
  return { ...settings, rpm: settings.rpm ?? rpm, tpm: settings.tpm ?? tpm };
}
