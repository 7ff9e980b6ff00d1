import { FLAGGED_PHRASE } from '#libs/rehearsal/rehearsal.moderation.js';

/** What each client's own tool answers, and what the shell commands of Codex and opencode print. */
export const WEATHER = 'sunny, 21 degrees';
export const firstQuestion = (city: string): string => `How is the weather in ${city}?`;
export const SECOND_QUESTION = 'And what will the weather be tomorrow?';
export const FLAGGED_QUESTION = 'Say what must not be said.';
/** Moderation flags it. Several pieces of a stream carry it. */
export const FLAGGED_ANSWER = `This is ${FLAGGED_PHRASE}, and more of it.`;

/**
 * The answer to the question of that number. It takes the city from the first question, the weather from a tool's
 * output, and the number from the count of questions: each must have reached the model, and once only.
 */
export const answerOf = (city: string, question: number): string =>
  `In ${city} it is ${WEATHER}. This is answer ${question}.`;

/** What a model reads, of either API. */
export interface History {
  /** Each text that a user wrote. */
  asked: readonly string[];
  /** The newest of what tools put out, if nothing follows it. */
  output: string | undefined;
  /** Whether older items were made into one that only the provider reads. */
  compacted: boolean;
}

/** The answer in words, or undefined where the model calls a tool first. */
export function answerTo({ asked, output, compacted }: History): string | undefined {
  if (asked.at(-1)?.includes(FLAGGED_QUESTION)) return FLAGGED_ANSWER;
  const questions = asked.filter((text) => text.includes('the weather'));
  const city = /weather in (\p{Lu}\p{L}+)\?/u.exec(questions[0] ?? '')?.[1];
  if (compacted) return city === undefined ? 'I know of no city.' : answerOf(city, questions.length);
  if (output === undefined) return undefined;
  return `In ${city ?? 'no city'} it is ${output.includes(WEATHER) ? WEATHER : output}. This is answer ${questions.length}.`;
}
