import { NativeSelect, TextInput, Title } from '@mantine/core';
import type { ToolPrices } from '#libs/contracts/key-state.js';
import { faultAt } from '../../api/client.ts';
import { isAmount } from '../../kit/amounts.ts';
import { wholeOf } from '../../kit/draft.ts';

const TOKENS_MAX = 2_000_000;
const SEARCHES_MAX = 100;
const IMAGES_MAX = 10;
const SOUND_SECONDS_MAX = 86_400;

/** What a call of the campaign may use beside its texts. Empty: as Daypass has it. */
export interface ToolTexts {
  searchUsd: string;
  searchTokens: string;
  searches: string;
  images: string;
  quality: string;
  soundSeconds: string;
}

const textOf = (value: number | undefined): string => (value === undefined ? '' : String(value));

export const toolTextsOf = ({ web_search: search, images, audio }: ToolPrices): ToolTexts => ({
  searchUsd: search?.usd_per_request ?? '',
  searchTokens: textOf(search?.input_tokens_per_request),
  searches: textOf(search?.max_calls),
  images: textOf(images?.max),
  quality: images?.quality ?? '',
  soundSeconds: textOf(audio?.max_seconds),
});

const isWhole = (text: string, least: number, most: number): boolean =>
  text.trim() === '' || wholeOf(text, least, most) !== null;
const upTo = (most: number): string => `A whole number from 1 to ${most}`;

/** What is wrong, by field. */
export const toolMistakesIn = (texts: ToolTexts): Partial<Record<keyof ToolTexts, string>> => ({
  ...(texts.searchUsd.trim() === '' || isAmount(texts.searchUsd) ? {} : { searchUsd: 'Such as 0.025' }),
  ...(isWhole(texts.searchTokens, 0, TOKENS_MAX) ? {} : { searchTokens: `A whole number up to ${TOKENS_MAX}` }),
  ...(isWhole(texts.searches, 1, SEARCHES_MAX) ? {} : { searches: upTo(SEARCHES_MAX) }),
  ...(isWhole(texts.images, 1, IMAGES_MAX) ? {} : { images: upTo(IMAGES_MAX) }),
  ...(isWhole(texts.soundSeconds, 1, SOUND_SECONDS_MAX) ? {} : { soundSeconds: upTo(SOUND_SECONDS_MAX) }),
});

const numberOf = (text: string): number | null => wholeOf(text, 0, SOUND_SECONDS_MAX + TOKENS_MAX);

/** As a merge patch: null takes a field away. */
export function toolPatchOf({ searchUsd, searchTokens, searches, images, quality, soundSeconds }: ToolTexts) {
  const search = {
    usd_per_request: searchUsd.trim(),
    input_tokens_per_request: numberOf(searchTokens),
    max_calls: numberOf(searches),
  };
  const isOpen = images.trim() === '' && quality === '';
  return {
    web_search: searchUsd.trim() === '' ? null : search,
    images: isOpen ? null : { max: numberOf(images), quality: quality || null },
    audio: soundSeconds.trim() === '' ? null : { max_seconds: numberOf(soundSeconds) },
  };
}

interface Props {
  texts: ToolTexts;
  set: (change: Partial<ToolTexts>) => void;
  error: unknown;
}

export function ToolFields({ texts, set, error }: Props) {
  const mistakes = toolMistakesIn(texts);
  const field = (name: keyof ToolTexts, path: string) => ({
    value: texts[name],
    error: mistakes[name] ?? faultAt(error, `tool_prices.${path}`),
    onChange: (event: { currentTarget: { value: string } }) => set({ [name]: event.currentTarget.value }),
  });
  const hasSearch = texts.searchUsd.trim() !== '';
  return (
    <section className="card" aria-labelledby="tools">
      <Title order={2} size="h5" id="tools">
        Search, images and sound
      </Title>
      <div className="grid">
        <TextInput
          label="Dollars for a web search"
          description="Empty: its keys cannot search"
          inputMode="decimal"
          {...field('searchUsd', 'web_search.usd_per_request')}
        />
        <TextInput
          label="Tokens that a search adds"
          description="The most that the model reads of its results"
          inputMode="numeric"
          disabled={!hasSearch}
          {...field('searchTokens', 'web_search.input_tokens_per_request')}
        />
        <TextInput
          label="Searches of one response"
          description="Empty: three"
          inputMode="numeric"
          disabled={!hasSearch}
          {...field('searches', 'web_search.max_calls')}
        />
        <TextInput
          label="Images of one call"
          description="Empty: four"
          inputMode="numeric"
          {...field('images', 'images.max')}
        />
        <NativeSelect
          label="Quality of images"
          description="Where the visitor leaves it open, and the budget carries it"
          data={[
            { value: '', label: 'Medium, as by default' },
            { value: 'low', label: 'Low' },
            { value: 'medium', label: 'Medium' },
            { value: 'high', label: 'High' },
          ]}
          {...field('quality', 'images.quality')}
        />
        <TextInput
          label="Seconds of sound in one call"
          description="Empty: as many as DAYPASS_MAX_AUDIO_SECONDS allows, which no campaign raises"
          inputMode="numeric"
          {...field('soundSeconds', 'audio.max_seconds')}
        />
      </div>
    </section>
  );
}
