import { ERRORS, type ErrorCode } from '#libs/contracts/errors.js';
import { AGAIN_WORDS, HELP, HELP_OF_PROVIDERS, TOPICS, type Topic } from '#libs/contracts/help.js';
import { markdownTable } from './markdown-table.js';

const CODES = Object.keys(HELP) as ErrorCode[];
/** GitHub's address of a heading that is a code. */
const linkTo = (code: string): string => `[\`${code}\`](#${code})`;
const topicOf = (topic: Topic): readonly ErrorCode[] => CODES.filter((code) => HELP[code].topic === topic).sort();

function sectionOf(code: ErrorCode): string {
  const { what, now, again, details = {} } = HELP[code];
  const rows = Object.entries(details).map(([name, words]) => [`\`${name}\``, words]);
  return [
    `### \`${code}\``,
    `Status ${ERRORS[code].status}. ${what} ${now}`,
    `Does the same request help? ${AGAIN_WORDS[again]}`,
    ...(rows.length === 0 ? [] : [markdownTable(['`error.daypass`', 'says'], rows)]),
  ].join('\n\n');
}

/** docs/errors.md, from the table that visitors' pages and OpenAPI say as well. */
export function errorsPage(): string {
  const rows = (Object.keys(TOPICS) as Topic[]).flatMap((topic) =>
    topicOf(topic).map((code) => [
      linkTo(code),
      String(ERRORS[code].status),
      ERRORS[code].retry ? 'yes' : 'no',
      TOPICS[topic],
    ]),
  );
  return `${[
    '# Errors',
    '`npm run docs:errors` writes this page from `libs/contracts/help.ts`. The page `/help` of your Daypass says the same.',
    [
      'Every error is OpenAI\'s object, `{"error": {"message", "type", "param", "code", "daypass"}}`.',
      '`error.daypass.help` is the address of what explains the code, and some codes have further details there.',
      '"Retry" is the header `x-should-retry`, which official clients obey.',
      'It is `false` as well where the wait would be longer than a minute.',
    ].join('\n'),
    markdownTable(['code', 'status', 'retry', 'is about'], rows),
    ...(Object.keys(TOPICS) as Topic[]).flatMap((topic) => [`## ${TOPICS[topic]}`, ...topicOf(topic).map(sectionOf)]),
    "## A provider's own codes",
    `${HELP_OF_PROVIDERS.what} ${HELP_OF_PROVIDERS.now}`,
  ].join('\n\n')}\n`;
}
