import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { appendFileSync, closeSync, existsSync, mkdirSync, openSync, readFileSync, renameSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Service } from '#libs/config/config.js';
import { PROJECT_ROOT } from './project-root.js';

/** `sysexits.h` EX_CONFIG: a wrong setting, so that a restart does not help. */
const EXIT_CONFIG = 78;
const READY_POLL_MS = 50;
const RESTARTS_MAX = 5;
const RESTARTS_WINDOW_MS = 60_000;
const BACKOFF_MIN_MS = 200;
const KILL_GRACE_MS = 3_000;
/**
 * Stacks name lines of our sources. `--enable-source-maps` would also keep the maps of every package: 40 MB in the four
 * services. It has to run before the first module loads.
 */
const SOURCE_MAPS = "import{setSourceMapsSupport}from'node:module';setSourceMapsSupport(true)";
/**
 * By default V8 gives young objects up to 128 MB in each process, and lets the heap double before it collects. The first
 * two options save two fifths to a half of the memory under load. They cost 6 to 15 % of the speed (measured,
 * docs/adr/0011-speed.md). A process that has nothing to do would also throw code away, and be slow for a while after
 * each pause. The next two keep it (docs/adr/0020-speed-second-round.md).
 */
export const NODE_FLAGS = [
  `--import=data:text/javascript,${SOURCE_MAPS}`,
  '--max-semi-space-size=8',
  '--heap-growing-percent=60',
  '--no-memory-reducer',
  '--no-flush-bytecode',
  // undici's decompression. It says so at each start.
  '--disable-warning=ExperimentalWarning',
] as const;
const LAST_LINES = 15;

export interface ServiceOptions {
  name: Service;
  env: Record<string, string>;
  /** The folder of package.json and dist/; absent: this project's own. */
  root?: string;
  /** The service answers /health/ready here. */
  opsUrl: string;
  logFile: string;
  /** The service's own shutdown deadline. The launcher kills it a little later. */
  shutdownDeadlineMs: number;
  /** Called with a warning or an error of the service, for people. The log file has the whole line. */
  onTrouble?: (text: string) => void;
  /** Called when the service died too often, or when a setting is wrong. */
  onGiveUp?: (reason: string) => void;
}

/**
 * One service as a child process. The launcher logs it to a file, restarts it when it dies, and ends it by its
 * deadline.
 */
export class ServiceProcess {
  private child: ChildProcess | undefined;
  private exited: Promise<void> = Promise.resolve();
  private silent: Promise<void> = Promise.resolve();
  private wanted = false;
  private restarts: number[] = [];

  constructor(readonly options: ServiceOptions) {
    const { logFile } = options;
    mkdirSync(dirname(logFile), { recursive: true });
    if (existsSync(logFile)) renameSync(logFile, `${logFile}.1`);
  }

  get pid(): number | undefined {
    return this.child?.pid;
  }

  start(): void {
    this.wanted = true;
    const { name, env, root = PROJECT_ROOT } = this.options;
    const endWithParent = join(root, 'dist/libs/launch/end-with-parent.js');
    const log = this.openLog();
    // Its own session: Ctrl-C must reach the launcher alone, which ends the services in the order of the flow.
    const child = spawn(
      process.execPath,
      [...NODE_FLAGS, '--import', endWithParent, join(root, `dist/apps/${name}/main.js`)],
      {
        env,
        cwd: root,
        detached: true,
        // Its lines go into the file without a detour. It repeats warnings and errors on stderr (libs/service/logger.ts).
        stdio: ['ignore', log ?? 'ignore', 'pipe', 'ipc'],
      },
    );
    this.child = child;
    if (log !== undefined) closeSync(log);
    this.silent = this.readTroubles(child.stderr!);
    this.exited = new Promise((resolve) => {
      const end = (code: number | null, signal: string | null): void => {
        if (this.child === child) this.child = undefined;
        resolve();
        if (this.wanted) void this.restart(code, signal);
      };
      child.once('exit', end);
      child.once('error', () => end(null, null));
    });
  }

  /** @throws with the last lines of its log when it gives up or is not ready in time */
  async whenReady(timeoutMs: number): Promise<void> {
    const until = Date.now() + timeoutMs;
    while (Date.now() < until) {
      if (!this.wanted) {
        await this.silent;
        throw new Error(`${this.options.name} ended before it was ready:\n${this.lastLines()}`);
      }
      if (await isReady(this.options.opsUrl)) return;
      await sleep(READY_POLL_MS);
    }
    throw new Error(`${this.options.name} was not ready within ${timeoutMs} ms:\n${this.lastLines()}`);
  }

  kill(signal: NodeJS.Signals): void {
    this.child?.kill(signal);
  }

  /** Ends it for good: SIGTERM, and SIGKILL when its own deadline has passed. */
  async stop(): Promise<void> {
    this.wanted = false;
    this.kill('SIGTERM');
    const timer = setTimeout(() => this.kill('SIGKILL'), this.options.shutdownDeadlineMs + KILL_GRACE_MS);
    await this.exited;
    clearTimeout(timer);
  }

  /** Stops restarting it: everything is about to end at once. */
  abandon(): void {
    this.wanted = false;
    this.kill('SIGKILL');
  }

  lastLines(): string {
    try {
      return readFileSync(this.options.logFile, 'utf8').trimEnd().split('\n').slice(-LAST_LINES).join('\n');
    } catch {
      return '';
    }
  }

  /** undefined: a full disk takes no file, which costs the lines, never the service. */
  private openLog(): number | undefined {
    const { logFile, onTrouble } = this.options;
    try {
      mkdirSync(dirname(logFile), { recursive: true });
      return openSync(logFile, 'a', 0o600);
    } catch (error) {
      onTrouble?.(`runs without its log file: ${(error as Error).message}`);
      return undefined;
    }
  }

  private async restart(code: number | null, signal: string | null): Promise<void> {
    const { name, onTrouble, onGiveUp } = this.options;
    const now = Date.now();
    this.restarts = this.restarts.filter((at) => now - at < RESTARTS_WINDOW_MS);
    if (code === EXIT_CONFIG || this.restarts.length >= RESTARTS_MAX) {
      this.wanted = false;
      onGiveUp?.(
        code === EXIT_CONFIG
          ? `${name} refuses its settings`
          : `${name} ended ${RESTARTS_MAX + 1} times within a minute`,
      );
      return;
    }
    const delayMs = BACKOFF_MIN_MS * 2 ** this.restarts.length;
    this.restarts.push(now);
    onTrouble?.(`ended (${signal ?? `code ${code}`}); starting it again in ${delayMs} ms`);
    await sleep(delayMs);
    if (this.wanted && !this.child) this.start();
  }

  /** Resolves when the last line of a process that ended has been read. */
  whenSilent(): Promise<void> {
    return this.silent;
  }

  private async readTroubles(stderr: Readable): Promise<void> {
    const { logFile, onTrouble } = this.options;
    const lines = createInterface({ input: stderr });
    lines.on('line', (line) => {
      const logged = loggedTrouble(line);
      // What Node itself says, such as the stack of a crash.
      if (logged === undefined) append(logFile, line);
      const trouble = logged ?? line.trim();
      if (trouble !== '') onTrouble?.(trouble);
    });
    await once(lines, 'close');
  }
}

function append(logFile: string, line: string): void {
  try {
    appendFileSync(logFile, `${line}\n`, { mode: 0o600 });
  } catch {
    // A full disk costs the line, never the launcher.
  }
}

/** The message of a log line at level warn or above, which the log file has already; undefined: no such line. */
function loggedTrouble(line: string): string | undefined {
  try {
    const { level, msg, err } = JSON.parse(line) as { level?: string; msg?: string; err?: { message?: string } };
    if (level !== 'warn' && level !== 'error' && level !== 'fatal') return undefined;
    return `${level}: ${msg ?? ''}${err?.message ? ` (${err.message})` : ''}`;
  } catch {
    return undefined;
  }
}

async function isReady(opsUrl: string): Promise<boolean> {
  try {
    const response = await fetch(`${opsUrl}/health/ready`, { signal: AbortSignal.timeout(3_000) });
    await response.arrayBuffer();
    return response.ok;
  } catch {
    return false;
  }
}
