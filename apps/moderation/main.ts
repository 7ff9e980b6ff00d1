import 'reflect-metadata';
import { runWorker } from '#libs/service/worker.main.js';
import { ModerationModule } from './moderation.module.js';

runWorker('moderation', (config, logger, registry) => ModerationModule.register(config, logger, registry));
