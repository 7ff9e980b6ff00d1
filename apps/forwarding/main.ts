import 'reflect-metadata';
import { runWorker } from '#libs/platform/worker.main.js';
import { ForwardingModule } from './forwarding.module.js';

runWorker('forwarding', (config, logger, registry) => ForwardingModule.register(config, logger, registry));
