import 'reflect-metadata';
import { runWorker } from '#libs/service/worker.main.js';
import { ForwardingModule } from './forwarding.module.js';

runWorker('forwarding', (config, logger, registry) => ForwardingModule.register(config, logger, registry));
