/** Settings of Daypass that are not a process's own: each child gets exactly those that it should know. */
const OURS = /^(DAYPASS_|OPENAI_|REDIS_URL$|DATABASE_URL$)/;

/** The surroundings of a child process (path, locale, proxies), without settings of ours and without options of a test runner. */
export function surroundings(env: NodeJS.ProcessEnv): Record<string, string> {
  const kept = Object.entries(env).filter(
    (entry): entry is [string, string] => entry[1] !== undefined && !OURS.test(entry[0]) && entry[0] !== 'NODE_OPTIONS',
  );
  return Object.fromEntries(kept);
}
