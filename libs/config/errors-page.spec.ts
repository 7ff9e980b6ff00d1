import { describe, expect, it } from '@jest/globals';
import { readFileSync } from 'node:fs';
import { ERRORS } from '#libs/contracts/errors.js';
import { errorsPage } from './errors-page.js';

describe('docs/errors.md', () => {
  const page = readFileSync('docs/errors.md', 'utf8');

  it('is what `npm run docs:errors` writes', () => expect(page).toBe(errorsPage()));

  it.each(Object.entries(ERRORS))('has a place for %s', (code, { status }) => {
    expect(page).toContain(`### \`${code}\`\n\nStatus ${status}. `);
  });
});
