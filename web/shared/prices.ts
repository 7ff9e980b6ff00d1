import { nanoOf, showUsd } from './money.js';

/** How people say what a price is for, by the names of DAYPASS_CONFIG. */
const WORDS: Readonly<Record<string, string>> = {
  image_input_usd_per_million: 'for images in',
  image_output_usd_per_million: 'for images out',
  audio_input_usd_per_million: 'for sound in',
  audio_output_usd_per_million: 'for sound out',
  usd_per_hour: 'an hour of sound',
  usd_per_million_characters: 'a million characters',
};

/** What a model costs. Text stands there unless it costs nothing beside something else. */
export function priceWords(model: {
  input_usd_per_million: string;
  output_usd_per_million: string;
  other_prices?: Readonly<Record<string, string>> | undefined;
}): string {
  const { input_usd_per_million: input, output_usd_per_million: output, other_prices: others = {} } = model;
  const other = Object.entries(others).map(([name, usd]) => `${showUsd(usd)} ${WORDS[name] ?? name}`);
  const isText = other.length === 0 || nanoOf(input) > 0n || nanoOf(output) > 0n;
  return [...(isText ? [`${showUsd(input)} in`, `${showUsd(output)} out`] : []), ...other].join(', ');
}
