import { expect, it } from '@jest/globals';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { PROJECT_ROOT } from './project-root.js';
import { NODE_FLAGS } from './service-process.js';

it('starts a service as its image does', () => {
  const dockerfile = readFileSync(join(PROJECT_ROOT, 'Dockerfile'), 'utf8');
  const [, entrypoint] = /^ENTRYPOINT (.*)$/m.exec(dockerfile)!;
  expect(JSON.parse(entrypoint!)).toEqual(['node', ...NODE_FLAGS]);
});
