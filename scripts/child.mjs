// Runs a program quietly. It keeps the output, and shows it only when the program fails.
import { spawn } from 'node:child_process';

const KEPT_CHARACTERS = 20_000;
const KILL_AFTER_MS = 1_000;

/** A person has to do something. The message says it in a line, without a stack. */
export class Obstacle extends Error {}

/** A person pressed Ctrl-C, or the parent ended. */
export class Interrupted extends Obstacle {}

/**
 * @param whatToDo the sentence for a person, should the program fail
 * @param signal ends it
 * @param patient it ends by itself after an interrupt, at a moment when nothing is half done (a package manager of the
 * system)
 * @throws Obstacle
 */
export function runChild([file, ...args], { cwd, env = process.env, whatToDo, signal, patient = false }) {
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(signal.reason);
    // A session of its own: Ctrl-C reaches this process alone, which then ends npm with all that npm has started.
    const child = spawn(file, args, { cwd, env, stdio: ['ignore', 'pipe', 'pipe'], detached: !patient });
    let output = '';
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', (data) => (output = `${output}${data}`.slice(-KEPT_CHARACTERS)));
    const kill = (name) => {
      try {
        if (patient) child.kill(name);
        else if (child.pid) process.kill(-child.pid, name);
      } catch {
        // It has ended.
      }
    };
    let killer;
    const end = () => {
      kill(patient ? 'SIGINT' : 'SIGTERM');
      if (!patient) killer = setTimeout(() => kill('SIGKILL'), KILL_AFTER_MS);
    };
    signal.addEventListener('abort', end);
    const leave = () => kill('SIGKILL');
    if (!patient) process.on('exit', leave);
    const finish = (problem) => {
      clearTimeout(killer);
      signal.removeEventListener('abort', end);
      process.off('exit', leave);
      if (signal.aborted) reject(signal.reason);
      else if (problem) reject(new Obstacle(`${output.trimEnd()}\n\n${problem} ${whatToDo}`.trimStart()));
      else resolve();
    };
    child.once('error', (error) => finish(`\`${file}\` did not start (${error.code}).`));
    child.once('close', (code, killedBy) =>
      finish(code === 0 ? undefined : `\`${[file, ...args].join(' ')}\` failed (${killedBy ?? code}).`),
    );
  });
}
