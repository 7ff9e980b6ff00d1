import { ConfigError, loadConfig, type DaypassConfig, type Service } from '#libs/config/config.js';
import { createLogger, type Logger } from './logger.js';
import { compactHeap } from './compact-heap.js';
import { startTracing } from './tracing.js';

/** Reads the configuration and runs the service. A bad setting or a failed start ends the process with a clear line. */
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
  if (config.traces) await startTracing(service);
  if (config.rehearsed)
    logger.info('no OPENAI_API_KEY is set: answers are rehearsed, no model reads them and nothing is spent');
  try {
    await run(config, logger);
    compactHeap();
    logger.info({ ops: config.ops.port }, 'ready');
  } catch (error) {
    logger.fatal({ err: error }, 'could not start');
    process.exit(1);
  }
}
