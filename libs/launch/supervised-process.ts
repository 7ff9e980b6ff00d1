import { spawn, type ChildProcess } from 'node:child_process';

/**
 * Runs a command that must not outlive this process. Each line on the supervisor's input is a signal to pass on. When
 * that pipe closes (this process exited, or somebody killed it), the command gets its end signal. It has a session of
 * its own: Ctrl-C reaches only this process, which chooses the order in which things end.
 */
const SUPERVISOR = `
end_signal=$1; orphan_seconds=$2; shift 2
exec 3<&0
"$@" </dev/null 3<&- &
pid=$!
( while read -r signal <&3; do kill -"$signal" "$pid"; done; sleep "$orphan_seconds"; kill -"$end_signal" "$pid" ) 2>/dev/null &
watcher=$!
wait "$pid"; code=$?
kill "$watcher" 2>/dev/null
exit "$code"
`;
const LAST_LINES = 40;

export interface SupervisedOptions {
  name: string;
  command: readonly string[];
  /** A line of output with this text shows that the command is ready. */
  readyText: string;
  readyTimeoutMs: number;
  endSignal: 'TERM' | 'INT';
  /** After this time it gets killed. */
  endTimeoutMs: number;
  /** The command outlives this process by this long, for others that still need it while they end. */
  orphanSeconds?: number;
  uid?: number;
  gid?: number;
  env?: NodeJS.ProcessEnv;
  onLine?: (line: string) => void;
}

export class SupervisedProcess {
  private readonly lines: string[] = [];
  private readonly exit: Promise<number | null>;
  private stopping = false;
  private partial = '';

  private constructor(
    private readonly options: SupervisedOptions,
    private readonly child: ChildProcess,
  ) {
    this.exit = new Promise((resolve) => {
      child.once('exit', (code) => resolve(code));
      child.once('error', () => resolve(null));
    });
    child.stdin?.on('error', () => undefined);
  }

  /** @throws with its last lines when it ends, or does not get ready in time */
  static async start(options: SupervisedOptions): Promise<SupervisedProcess> {
    const child = spawn(
      '/bin/sh',
      ['-c', SUPERVISOR, options.name, options.endSignal, String(options.orphanSeconds ?? 0), ...options.command],
      {
        stdio: ['pipe', 'pipe', 'pipe'],
        detached: true,
        cwd: '/',
        env: options.env ?? process.env,
        ...(options.uid === undefined ? {} : { uid: options.uid, gid: options.gid }),
      },
    );
    const supervised = new SupervisedProcess(options, child);
    try {
      await supervised.whenReady();
    } catch (error) {
      await supervised.stop();
      throw error;
    }
    return supervised;
  }

  /** Called once, when the command ends by itself. */
  onUnexpectedExit(listener: (lastLines: string) => void): void {
    void this.exit.then(() => {
      if (!this.stopping) listener(this.lastLines());
    });
  }

  /** Sends its end signal, and KILL at the time limit. A second call is harmless. */
  async stop(): Promise<void> {
    this.signal(this.options.endSignal);
    const timer = setTimeout(() => this.signal('KILL'), this.options.endTimeoutMs);
    await this.exit;
    clearTimeout(timer);
    this.child.stdin?.destroy();
  }

  /** Kills the command. Resolves when it has ended. */
  async kill(): Promise<void> {
    this.signal('KILL');
    await this.exit;
    this.child.stdin?.destroy();
  }

  signal(signal: 'TERM' | 'INT' | 'KILL'): void {
    this.stopping = true;
    this.child.stdin?.write(`${signal}\n`);
  }

  private lastLines(): string {
    return this.lines.join('\n');
  }

  private async whenReady(): Promise<void> {
    const { name, readyText, readyTimeoutMs } = this.options;
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(
        () => reject(new Error(`${name} was not ready within ${readyTimeoutMs} ms:\n${this.lastLines()}`)),
        readyTimeoutMs,
      );
      const read = (chunk: Buffer): void => {
        for (const line of this.take(chunk)) {
          if (!line.includes(readyText)) continue;
          clearTimeout(timer);
          resolve();
        }
      };
      this.child.stdout?.on('data', read);
      this.child.stderr?.on('data', read);
      void this.exit.then(() => {
        clearTimeout(timer);
        reject(new Error(`${name} ended before it was ready:\n${this.lastLines()}`));
      });
    });
  }

  private take(chunk: Buffer): string[] {
    const lines = (this.partial + chunk.toString('utf8')).split('\n');
    this.partial = lines.pop() ?? '';
    for (const line of lines) {
      this.lines.push(line);
      this.options.onLine?.(line);
    }
    this.lines.splice(0, Math.max(0, this.lines.length - LAST_LINES));
    return lines;
  }
}
