import { ConfigError, loadConfig, type DaypassConfig, type Service } from '#libs/config/config.js';
import { createLogger, type Logger } from './logger.js';
import { settleHeap } from './settle-heap.js';
import { startTracing } from './tracing.js';

/** Reads the configuration and runs the service; a bad setting or a failed start ends the process with a clear line. */
export async function bootstrap(
  service: Service,
  run: (config: DaypassConfig, logger: Logger) => Promise<void>,
): Promise<void> {
  let config: DaypassConfig;
  try {
    config = loadConfig(service, process.env);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    process.stderr.write(`${error.message}\n`);
    process.exit(78);
  }
  const logger = createLogger(service, config.logLevel);
  if (config.traces) startTracing(service);
  try {
    await run(config, logger);
    settleHeap();
    logger.info({ ops: config.ops.port }, 'ready');
  } catch (error) {
    logger.fatal({ err: error }, 'could not start');
    process.exit(1);
  }
}
