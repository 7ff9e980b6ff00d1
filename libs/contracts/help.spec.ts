import { describe, expect, it } from '@jest/globals';
import { DaypassError, ERRORS, type ErrorCode } from './errors.js';
import { explain, HELP, HELP_OF_PROVIDERS, helpPath, TOPICS, withHelp, type Help } from './help.js';

const CODES = Object.keys(ERRORS) as ErrorCode[];
const textsOf = ({ what, now }: Help): string[] => [what, now];

describe('the help for errors', () => {
  it('has every code of the catalogue, and no other', () => {
    expect(Object.keys(HELP).toSorted()).toEqual(CODES.toSorted());
  });

  it.each([...CODES.map((code) => [code, HELP[code]] as const), ['of a provider', HELP_OF_PROVIDERS] as const])(
    '%s: says in plain words what it means and what to do',
    (_, help) => {
      expect(Object.keys(TOPICS)).toContain(help.topic);
      for (const sentence of textsOf(help).flatMap((text) => text.split(/(?<=[.?!]) /))) {
        expect(sentence).toMatch(/^[A-Z].*[.?!]$/);
        expect(sentence.split(' ').length).toBeLessThanOrEqual(20);
      }
      for (const words of Object.values(help.details ?? {})) expect(words).toMatch(/^[A-Z`].*\.$/);
    },
  );

  it.each(CODES)('%s: tells of a retry what the header tells clients', (code) => {
    expect(HELP[code].again === 'soon').toBe(ERRORS[code].retry);
  });

  it('has words for a code that nobody here knows', () => {
    for (const code of ['of_tomorrow', 'toString', '__proto__']) expect(explain(code)).toBe(HELP_OF_PROVIDERS);
    expect([helpPath('of_tomorrow'), helpPath(null), helpPath('constructor')]).toEqual(
      Array.from({ length: 3 }, () => '/help#provider'),
    );
  });
});

describe('an error on its way out', () => {
  const error = new DaypassError('insufficient_quota', 'Spent.', { details: { level: 'key' } });

  it('names the address of its explanation beside its details', () => {
    expect(withHelp(error.body(), 'https://try.example').error).toEqual({
      ...error.body().error,
      daypass: { level: 'key', help: 'https://try.example/help#insufficient_quota' },
    });
  });

  it('stays as it is where nobody knows an address', () => {
    expect(withHelp(error.body(), undefined)).toEqual(error.body());
  });
});
