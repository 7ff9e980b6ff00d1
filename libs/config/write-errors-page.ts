// `npm run docs:errors`: writes docs/errors.md from libs/contracts/help.ts.
import { writeFileSync } from 'node:fs';
import { errorsPage } from '#libs/config/errors-page.js';

writeFileSync('docs/errors.md', errorsPage());
