import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { Command, type Redis } from 'ioredis';
import { isOutOfMemory } from './out-of-memory.js';
import { atEndOfTurn } from './turn.js';

/** Each library keeps its own scripts. A script's name is unique over all libraries. */
const FOLDERS = ['redis', 'holds', 'pacing', 'moderation', 'shelf'].map((lib) =>
  join(import.meta.dirname, '..', lib, 'lua'),
);
/** Without a flag a full Redis refuses the script as a whole. */
const SHEBANG = /^#!lua(?: flags=(\S+))?\n/;
const INCLUDE = /^--@include ([\w-]+)$/gm;
const INCLUDE_FILE = '.include';

/** Reads a script with its includes. Its header and the names of its arguments are its contract. */
export function readScript(name: string): string {
  return withIncludes(readLua(name));
}

/** Includes are not nested: a script names all that it uses, and each include comes after those that it needs. */
export function withIncludes(lua: string): string {
  return lua.replace(INCLUDE, (_, include: string) => readLua(`${include}${INCLUDE_FILE}`));
}

function readLua(name: string): string {
  const file = FOLDERS.map((folder) => join(folder, `${name}.lua`)).find((candidate) => existsSync(candidate));
  if (file === undefined) throw new Error(`no library has a script called '${name}'`);
  return readFileSync(file, 'utf8');
}

/**
 * What one step of Redis does at most. Calls beyond it leave in a further step, so that nobody waits for a long one.
 */
const STEP_CALLS_MAX = 32;
const STEP_BYTES_MAX = 262_144;

/**
 * Several calls of one function in one step, each for itself: one that raises an error changes nothing about the
 * others. Arguments: how many calls, and for each its number of keys, its number of arguments, its arguments.
 */
const MANY = `
local function many(one)
  return function(keys, args)
    local answers, key_at, arg_at = {}, 0, 1
    for i = 1, tonumber(args[1]) do
      local key_count, arg_count = tonumber(args[arg_at + 1]), tonumber(args[arg_at + 2])
      local its_keys, its_args = {}, {}
      for j = 1, key_count do its_keys[j] = keys[key_at + j] end
      for j = 1, arg_count do its_args[j] = args[arg_at + 2 + j] end
      key_at, arg_at = key_at + key_count, arg_at + 2 + arg_count
      local ok, answer = pcall(one, its_keys, its_args)
      if not ok then
        local message = tostring(type(answer) == 'table' and answer.err or answer)
        answer = { err = message:match('^%u+ ') and message or 'ERR ' .. message }
      end
      -- A missing value would end the list.
      if answer == nil then answer = false end
      answers[i] = answer
    end
    return answers
  end
end
local functions = {}
`;

interface Library {
  name: string;
  source: string;
}

const LIBRARIES = 'daypass_';
/** Versions beside each other in a rolling upgrade, and some that are left over. */
const LIBRARIES_MAX = 4;

let library: Library | undefined;

/**
 * All scripts as one library of functions. Redis makes what they share once, when it loads the library, rather than
 * with each call: a script with its includes takes 6.4 µs before it does anything, a function 0.6 (measured). The
 * library is named after its content, so that two versions work beside each other.
 */
function madeLibrary(): Library {
  if (library) return library;
  const names = FOLDERS.flatMap((folder) => readdirSync(folder))
    .filter((file) => file.endsWith('.lua') && !file.endsWith(`${INCLUDE_FILE}.lua`))
    .map((file) => file.slice(0, -'.lua'.length))
    .toSorted();
  const scripts = names.map((name) => ({ name, lua: readLua(name) }));
  const includes = inOrder(scripts.map(({ lua }) => [...lua.matchAll(INCLUDE)].map(([, include]) => include!)));
  const text = [
    ...includes.map((include) => readLua(`${include}${INCLUDE_FILE}`)),
    MANY,
    ...scripts.map(({ name, lua }) => {
      const flags = SHEBANG.exec(lua)?.[1]?.split(',') ?? [];
      const id = name.replaceAll('-', '_');
      const registered = (suffix: string, callback: string): string =>
        `redis.register_function{ function_name = '<library>_${id}${suffix}', callback = ${callback}, ` +
        `flags = { ${flags.map((flag) => `'${flag}'`).join(', ')} } }`;
      return [
        `functions.${id} = function(KEYS, ARGV)\n${lua.replace(SHEBANG, '').replace(INCLUDE, '')}\nend`,
        registered('', `functions.${id}`),
        registered('_many', `many(functions.${id})`),
      ].join('\n');
    }),
  ].join('\n');
  const name = `${LIBRARIES}${createHash('sha1').update(text).digest('hex').slice(0, 12)}`;
  library = { name, source: `#!lua name=${name}\n${text.replaceAll('<library>', name)}` };
  return library;
}

/** One list that keeps the order of each. @throws where two lists contradict each other */
function inOrder(lists: readonly (readonly string[])[]): string[] {
  const left = new Set(lists.flat());
  const ordered: string[] = [];
  while (left.size > 0) {
    const next = [...left].find((name) =>
      lists.every((list) => list.slice(0, Math.max(0, list.indexOf(name))).every((before) => !left.has(before))),
    );
    if (next === undefined) throw new Error(`scripts include these in different orders: ${[...left].join(', ')}`);
    left.delete(next);
    ordered.push(next);
  }
  return ordered;
}

/** The name that goes over the wire. */
export function functionName(script: string): string {
  return `${madeLibrary().name}_${script.replaceAll('-', '_')}`;
}

const loading = new WeakMap<Redis, Promise<void>>();

/** Once for all calls that miss it. */
function loadLibrary(redis: Redis): Promise<void> {
  const under = loading.get(redis);
  if (under) return under;
  const load = (async (): Promise<void> => {
    const { name, source } = madeLibrary();
    await redis.call('FUNCTION', 'LOAD', 'REPLACE', source);
    const lists = (await redis.call('FUNCTION', 'LIST', 'LIBRARYNAME', `${LIBRARIES}*`)) as string[][];
    if (lists.length <= LIBRARIES_MAX) return;
    // Who still uses one loads it again.
    for (const list of lists) {
      const other = list[list.indexOf('library_name') + 1]!;
      if (other !== name) await redis.call('FUNCTION', 'DELETE', other).catch(() => undefined);
    }
  })().finally(() => loading.delete(redis));
  loading.set(redis, load);
  return load;
}

/**
 * A script bound to a connection. What is called within one turn of the event loop goes to Redis in one step, in the
 * order of the calls.
 */
export type Script = (keys: readonly string[], args: readonly ScriptArg[]) => Promise<unknown>;
type ScriptArg = string | number | Buffer;

export function defineScript(redis: Redis, name: string): Script {
  return new TickSteps(redis, name, 'utf8').script;
}

/** The same, where every string of the answer is a buffer, because some of it is encrypted. */
export function defineBinaryScript(redis: Redis, name: string): Script {
  return new TickSteps(redis, name, null).script;
}

interface Waiting {
  keys: readonly string[];
  args: readonly ScriptArg[];
  bytes: number;
  resolve: (answer: unknown) => void;
  reject: (error: unknown) => void;
}

class TickSteps {
  private waiting: Waiting[] = [];
  private readonly options: { replyEncoding: 'utf8' | null };

  constructor(
    private readonly redis: Redis,
    private readonly name: string,
    replyEncoding: 'utf8' | null,
  ) {
    this.options = { replyEncoding };
  }

  readonly script: Script = (keys, args) =>
    new Promise((resolve, reject) => {
      // Here an argument that is none fails this call, and no other of its step.
      const bytes = args.reduce<number>((sum, arg) => sum + (typeof arg === 'number' ? 8 : arg.length), 0);
      if (this.waiting.push({ keys, args, bytes, resolve, reject }) === 1) atEndOfTurn(() => this.flush());
    });

  private flush(): void {
    const all = this.waiting;
    this.waiting = [];
    let step: Waiting[] = [];
    let stepBytes = 0;
    for (const call of all) {
      if (step.length === STEP_CALLS_MAX || (step.length > 0 && stepBytes + call.bytes > STEP_BYTES_MAX)) {
        this.send(step);
        [step, stepBytes] = [[], 0];
      }
      step.push(call);
      stepBytes += call.bytes;
    }
    this.send(step);
  }

  private send(step: readonly Waiting[]): void {
    if (step.length === 1) {
      const { keys, args, resolve, reject } = step[0]!;
      this.call('', keys, args).then(resolve, reject);
      return;
    }
    const keys: string[] = [];
    const args: ScriptArg[] = [step.length];
    for (const call of step) {
      args.push(call.keys.length, call.args.length);
      for (const key of call.keys) keys.push(key);
      for (const arg of call.args) args.push(arg);
    }
    this.call('_many', keys, args).then(
      (answers) => {
        for (const [index, answer] of (answers as unknown[]).entries()) {
          if (answer instanceof Error) step[index]!.reject(answer);
          else step[index]!.resolve(answer);
        }
      },
      (error: unknown) => {
        for (const call of step) call.reject(error);
      },
    );
  }

  private async call(suffix: '' | '_many', keys: readonly string[], args: readonly ScriptArg[]): Promise<unknown> {
    const fcall = (): Promise<unknown> =>
      this.command('FCALL', [functionName(this.name) + suffix, keys.length, ...keys, ...args]);
    try {
      return await fcall();
    } catch (error) {
      if (!(error instanceof Error) || !error.message.includes('Function not found')) throw error;
    }
    try {
      await loadLibrary(this.redis);
    } catch (error) {
      // A full Redis takes no library, and scripts that may run there are what frees its memory.
      if (!isOutOfMemory(error)) throw error;
      return this.evaluate(suffix, keys, args);
    }
    return fcall();
  }

  /** Without the library. */
  private evaluate(suffix: '' | '_many', keys: readonly string[], args: readonly ScriptArg[]): Promise<unknown> {
    const lua = readScript(this.name);
    const shebang = SHEBANG.exec(lua)?.[0] ?? '';
    const body = lua.slice(shebang.length);
    const source =
      suffix === '' ? lua : `${shebang}${MANY}\nreturn many(function(KEYS, ARGV)\n${body}\nend)(KEYS, ARGV)`;
    return this.command('EVAL', [source, keys.length, ...keys, ...args]);
  }

  private command(name: string, args: ScriptArg[]): Promise<unknown> {
    return this.redis.sendCommand(new Command(name, args, this.options)) as Promise<unknown>;
  }
}
