import { Title } from '@mantine/core';
import type { ToolPrices } from '#libs/contracts/key-state.js';
import { isAmount } from '../../kit/amounts.ts';
import { wholeOf } from '../../kit/draft.ts';
import { Field, type Form } from '../../kit/field.tsx';

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

/** `form`: its mistakes are those of `toolMistakesIn`. */
export function ToolFields({ form }: { form: Form<ToolTexts> }) {
  const hasSearch = form.draft.searchUsd.trim() !== '';
  return (
    <section className="card" aria-labelledby="tools">
      <Title order={2} size="h5" id="tools">
        Search, images and sound
      </Title>
      <div className="grid">
        <Field
          of={form}
          name="searchUsd"
          at="tool_prices.web_search.usd_per_request"
          label="Dollars for a web search"
          description="Empty: its keys cannot search"
          inputMode="decimal"
        />
        <Field
          of={form}
          name="searchTokens"
          at="tool_prices.web_search.input_tokens_per_request"
          label="Tokens that a search adds"
          description="The most that the model reads of its results"
          inputMode="numeric"
          disabled={!hasSearch}
        />
        <Field
          of={form}
          name="searches"
          at="tool_prices.web_search.max_calls"
          label="Searches of one response"
          description="Empty: three"
          inputMode="numeric"
          disabled={!hasSearch}
        />
        <Field
          of={form}
          name="images"
          at="tool_prices.images.max"
          label="Images of one call"
          description="Empty: four"
          inputMode="numeric"
        />
        <Field
          of={form}
          name="quality"
          at="tool_prices.images.quality"
          label="Quality of images"
          description="Where the visitor leaves it open, and the budget carries it"
          data={[
            { value: '', label: 'Medium, as by default' },
            { value: 'low', label: 'Low' },
            { value: 'medium', label: 'Medium' },
            { value: 'high', label: 'High' },
          ]}
        />
        <Field
          of={form}
          name="soundSeconds"
          at="tool_prices.audio.max_seconds"
          label="Seconds of sound in one call"
          description="Empty: as many as DAYPASS_MAX_AUDIO_SECONDS allows, which no campaign raises"
          inputMode="numeric"
        />
      </div>
    </section>
  );
}
