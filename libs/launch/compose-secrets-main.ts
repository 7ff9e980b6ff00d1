import { keepComposeSecrets } from './compose-secrets.js';

/** The service `secrets` of docker-compose.yml: it runs before all others, and ends. */
for (const [name, how] of Object.entries(keepComposeSecrets('/secrets', process.env)))
  process.stdout.write(`${name}: ${how}\n`);
