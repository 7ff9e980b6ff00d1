/** Settings of Daypass. Each child process gets exactly those that it needs. */
const OURS = /^(DAYPASS_|OPENAI_|REDIS_URL$|DATABASE_URL$)/;

/**
 * The environment of a child process (path, locale, proxies), without Daypass' settings and a test runner's options.
 */
export function surroundings(env: NodeJS.ProcessEnv): Record<string, string> {
  const kept = Object.entries(env).filter(
    (entry): entry is [string, string] => entry[1] !== undefined && !OURS.test(entry[0]) && entry[0] !== 'NODE_OPTIONS',
  );
  return Object.fromEntries(kept);
}
