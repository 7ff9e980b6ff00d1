import { fstatSync, writeSync } from 'node:fs';
import { pino, type DestinationStream, type Logger, type LoggerOptions } from 'pino';
import type { LoggerService } from '@nestjs/common';

export type { Logger } from 'pino';

/** JSON lines on stdout. Callers log ids and numbers: never content, a key or a token. */
export function createLogger(service: string, level: string, destination: DestinationStream = ownOutput()): Logger {
  const options: LoggerOptions = {
    level,
    base: { service },
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label) => ({ level: label }) },
    serializers: { err: readError },
    redact: {
      paths: ['authorization', '*.authorization', 'headers', '*.headers', 'body', '*.body'],
      censor: '[redacted]',
    },
  };
  return pino(options, destination);
}

const STDOUT = 1;
const STDERR = 2;
/** pino's number of the level `warn`. */
const TROUBLE_LEVEL = 40;
/** So many troubles wait for the launcher, which reads none while its terminal is paused. The log file has all. */
const TROUBLES_WAIT_MAX_BYTES = 4_194_304;

/**
 * The launcher makes stdout a file. A write to it needs no thread, and the launcher reads nothing but troubles. Elsewhere
 * stdout is a pipe, whose reader may be slow: a thread waits for it.
 */
function ownOutput(): DestinationStream {
  const stdout = fstatSync(STDOUT);
  // Without a log file the launcher gives the null device.
  const isLaunched = process.channel !== undefined && (stdout.isFile() || stdout.isCharacterDevice());
  if (!stdout.isFile() && !isLaunched) return gatherLines(pino.destination(STDOUT));
  const toFile = gatherLines(unlessFull(STDOUT));
  return isLaunched ? tellTroubles(toFile, gatherLines(unlessSlow(STDERR))) : toFile;
}

/** A thread waits for a slow reader. Beyond the bound it costs lines, never the service. */
function unlessSlow(fd: number): DestinationStream {
  return pino.destination({ dest: fd, sync: false, maxLength: TROUBLES_WAIT_MAX_BYTES });
}

/** A full disk costs lines, never the service. */
function unlessFull(fd: number): DestinationStream {
  return {
    write: (lines) => {
      try {
        writeSync(fd, lines);
      } catch {
        // Nobody is left to be told.
      }
    },
  };
}

/** Writes every line to `log`, and those of level warn and above to `troubles` too. */
export function tellTroubles(log: DestinationStream, troubles: DestinationStream): DestinationStream {
  return {
    // pino then sets `lastLevel` before each line.
    [Symbol.for('pino.metadata')]: true,
    lastLevel: 0,
    write(line: string) {
      log.write(line);
      if (this.lastLevel >= TROUBLE_LEVEL) troubles.write(line);
    },
  } as DestinationStream & { lastLevel: number };
}

/** Writes the lines of one turn of the event loop in one system call. The end of the process loses none. */
export function gatherLines(destination: DestinationStream): DestinationStream & { flushSync: () => void } {
  let lines = '';
  const flushSync = (): void => {
    if (lines === '') return;
    const all = lines;
    lines = '';
    destination.write(all);
  };
  process.once('exit', flushSync);
  return {
    write: (line) => {
      if (lines === '') setImmediate(flushSync);
      lines += line;
    },
    flushSync,
  };
}

/** Errors of clients carry commands and bodies, so that only these fields go into the log. */
function readError(error: unknown): unknown {
  if (!(error instanceof Error)) return error;
  return { type: error.name, message: error.message, code: (error as NodeJS.ErrnoException).code, stack: error.stack };
}

/** Nest's own lines, through the same logger. */
export class NestLogger implements LoggerService {
  constructor(private readonly logger: Logger) {}

  log(message: unknown, context?: string): void {
    this.logger.debug({ context }, String(message));
  }
  warn(message: unknown, context?: string): void {
    this.logger.warn({ context }, String(message));
  }
  error(message: unknown, stack?: string, context?: string): void {
    this.logger.error({ context, stack }, String(message));
  }
}
