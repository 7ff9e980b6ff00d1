// `npm run docs:settings`: writes docs/settings.md from the schemas in this folder.
import { readFileSync, writeFileSync } from 'node:fs';
import { settingsPage } from '#libs/config/settings-page.js';

writeFileSync('docs/settings.md', settingsPage(readFileSync('docker-compose.yml', 'utf8')));
