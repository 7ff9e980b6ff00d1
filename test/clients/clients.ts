import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { NODE_MODULES, npmVersion, pypiVersion, VENVS } from './setup.ts';
import { FLAGGED_QUESTION, firstQuestion, SECOND_QUESTION } from './weather.ts';

/** What a client saw in one scenario. The programs in node/ and python/ print the same as JSON. */
export interface Facts {
  scenario: string;
  /** Why it failed, as the client's language tells it. */
  error?: string;
  /** The city of the first question. */
  city?: string;
  /** The answers to the questions. */
  turns?: string[];
  /** How many pieces of text a stream had. */
  deltas?: number;
  /** What of a blocked answer was shown. */
  shown?: string;
  /** What the client told its user of a blocked answer. */
  told?: string;
}

export interface Access {
  baseUrl: string;
  key: string;
  /** An empty folder for what the client writes. */
  home: string;
}

export interface Client {
  /** As its users call it. */
  name: string;
  version: string;
  /** Those of which a run must tell. */
  scenarios: readonly string[];
  /** How many requests have the question whose answer is blocked: each is sent once. */
  blockedCalls: number;
  /** Without it this machine cannot run the client. */
  binary?: string;
  use(access: Access): Promise<readonly Facts[]>;
}

/** Several times what the slowest takes. */
const RUN_MAX_MS = 120_000;
const here = import.meta.dirname;
/** The scenario of every client whose answer moderation blocks. */
export const BLOCKED = 'blocked';
/** The registry has it for Linux on x64. Its launcher, opencode-ai, names packages that no lock file could pin here. */
const OPENCODE = join(NODE_MODULES, 'opencode-linux-x64-baseline', 'bin', 'opencode');

export const NODE_CLIENTS: readonly Client[] = [
  inNode(
    'openai',
    'openai',
    [
      'previous_response_id',
      'items with ids',
      'conversation',
      'retrieve, input_items, delete',
      'parse',
      'chat runTools',
      'embeddings',
      'speech, transcriptions',
      'images generate, edit',
      BLOCKED,
    ],
    // One streamed, one whole.
    2,
  ),
  inNode('@ai-sdk/openai', 'ai-sdk', [
    'generateText, streamText',
    'Output.object',
    'embedMany',
    'generateSpeech, transcribe',
    'generateImage',
    BLOCKED,
  ]),
  inNode('@openai/agents', 'agents', [
    'items with ids',
    'previousResponseId',
    'OpenAIConversationsSession',
    'OpenAIResponsesCompactionSession (auto)',
    'OpenAIResponsesCompactionSession (input)',
    BLOCKED,
  ]),
  inNode('@langchain/openai', 'langchain', [
    'chat',
    'useResponsesApi',
    'reasoning',
    'previous_response_id',
    'embedDocuments, embedQuery',
    BLOCKED,
  ]),
  {
    name: '@openai/codex',
    version: npmVersion('@openai/codex'),
    blockedCalls: 1,
    scenarios: ['exec, exec resume', 'exec, exec resume with -m gpt-5.4-mini', 'compaction', BLOCKED],
    use: codex,
  },
  {
    name: 'opencode',
    version: npmVersion('opencode-linux-x64-baseline'),
    binary: OPENCODE,
    // The other one is for a title.
    blockedCalls: 2,
    scenarios: ['run, run --continue', BLOCKED],
    use: opencode,
  },
];

export const PYTHON_CLIENTS: readonly Client[] = [
  inPython('openai', 'openai_client', 'openai', [
    'previous_response_id',
    'items with ids',
    'conversation',
    'parse',
    'embeddings',
    'speech, transcriptions',
    'images generate, edit',
    BLOCKED,
  ]),
  inPython('openai-agents', 'openai_agents', 'openai-agents', [
    'items with ids',
    'previous_response_id',
    'OpenAIConversationsSession',
    'OpenAIResponsesCompactionSession (auto)',
    'OpenAIResponsesCompactionSession (input)',
    BLOCKED,
  ]),
  inPython('pydantic-ai', 'pydantic_ai_agent', 'pydantic-ai-slim', ['message_history', 'Embedder', BLOCKED]),
  inPython('langchain-openai', 'langchain_client', 'langchain-openai', [
    'chat',
    'use_responses_api',
    'reasoning',
    'use_previous_response_id',
    'OpenAIEmbeddings',
    BLOCKED,
  ]),
  inPython(
    'llama-index-llms-openai',
    'llama_index_client',
    'llama-index-llms-openai',
    ['OpenAI', 'OpenAIResponses', 'OpenAIEmbedding', BLOCKED],
    'llama-index',
  ),
  inPython('litellm', 'litellm_client', 'litellm', ['completion', 'responses', 'embedding', BLOCKED]),
  {
    name: 'llm (Python)',
    version: pypiVersion('llm', 'clients'),
    scenarios: ['llm, llm -c', 'llm embed', BLOCKED],
    blockedCalls: 1,
    use: llm,
  },
];

function inNode(name: string, program: string, scenarios: readonly string[], blockedCalls = 1): Client {
  const use = async (access: Access): Promise<readonly Facts[]> =>
    factsIn(await run(process.execPath, [join(here, 'node', `${program}.mjs`)], access));
  return { name, version: npmVersion(name), scenarios, blockedCalls, use };
}

function inPython(
  name: string,
  program: string,
  distribution: string,
  scenarios: readonly string[],
  venv: keyof typeof VENVS = 'clients',
): Client {
  const python = join(VENVS[venv], 'bin', 'python');
  const use = async (access: Access): Promise<readonly Facts[]> =>
    factsIn(await run(python, [join(here, 'python', `${program}.py`)], access));
  return { name: `${name} (Python)`, version: pypiVersion(distribution, venv), scenarios, blockedCalls: 1, use };
}

/** Its settings are the base URL, and that nothing goes elsewhere. It keeps the key as `codex login` does. */
async function codex({ baseUrl, key, home }: Access): Promise<readonly Facts[]> {
  const binary = join(NODE_MODULES, '.bin', 'codex');
  const codexHome = join(home, 'codex');
  mkdirSync(codexHome);
  const settings = `openai_base_url = ${JSON.stringify(baseUrl)}\n[analytics]\nenabled = false\n`;
  writeFileSync(join(codexHome, 'config.toml'), settings);
  const access = { baseUrl, key, home, env: { CODEX_HOME: codexHome } };
  await run(binary, ['login', '--with-api-key'], { ...access, input: key });
  const exec = async (...args: string[]): Promise<CodexEvent[]> => {
    // The upstream of the tests says what is run. Not every machine has what the sandbox needs.
    const always = ['exec', '--skip-git-repo-check', '--json', '--dangerously-bypass-approvals-and-sandbox'];
    return linesOf<CodexEvent>((await run(binary, [...always, ...args], { ...access, mayFail: true })).stdout);
  };
  const said = (events: CodexEvent[]): string =>
    events.flatMap(({ item }) => (item?.type === 'agent_message' ? [item.text ?? ''] : [])).join('');
  const turns = async (scenario: string, city: string, first: string[], second: string[]): Promise<Facts> => {
    const one = await exec(...first, firstQuestion(city));
    const thread = one.find(({ type }) => type === 'thread.started')?.thread_id ?? '';
    const two = await exec(...second, 'resume', thread, SECOND_QUESTION);
    const failed = [...one, ...two].filter(({ type }) => type === 'error' || type === 'turn.failed');
    return {
      scenario,
      city,
      turns: [said(one), said(two)],
      ...(failed.length === 0 ? {} : { error: JSON.stringify(failed) }),
    };
  };
  const mini = ['-m', 'gpt-5.4-mini'];
  const compacting = [...mini, '-c', 'model_auto_compact_token_limit=1'];
  const facts = [
    await turns('exec, exec resume', 'Bern', [], []),
    await turns('exec, exec resume with -m gpt-5.4-mini', 'Basel', mini, mini),
    await turns('compaction', 'Chur', mini, compacting),
  ];
  const stopped = await exec(...mini, FLAGGED_QUESTION);
  const told = stopped.flatMap(({ type, error }) => (type === 'turn.failed' ? [error?.message ?? ''] : []));
  const problem = told.length === 1 ? {} : { error: `told ${told.length} times that the turn failed` };
  return [...facts, { scenario: BLOCKED, shown: said(stopped), told: told.join(), ...problem }];
}

interface CodexEvent {
  type: string;
  thread_id?: string;
  item?: { type: string; text?: string };
  error?: { message: string };
}

/** Its settings are the base URL and the key of its provider `openai`. */
async function opencode({ baseUrl, key, home }: Access): Promise<readonly Facts[]> {
  const work = join(home, 'work');
  mkdirSync(work);
  const options = { baseURL: baseUrl, apiKey: key };
  writeFileSync(join(work, 'opencode.json'), JSON.stringify({ provider: { openai: { options } } }));
  const env = {
    // It would fetch its list of models, new versions and plug-ins from elsewhere.
    OPENCODE_DISABLE_MODELS_FETCH: '1',
    OPENCODE_DISABLE_AUTOUPDATE: '1',
    OPENCODE_DISABLE_LSP_DOWNLOAD: '1',
    OPENCODE_DISABLE_DEFAULT_PLUGINS: '1',
  };
  const ask = async (...args: string[]): Promise<OpencodeEvent[]> => {
    const always = ['run', '--format', 'json', '-m', 'openai/gpt-5.4-mini'];
    const { stdout } = await run(OPENCODE, [...always, ...args], { baseUrl, key, home, env, cwd: work, mayFail: true });
    return linesOf<OpencodeEvent>(stdout);
  };
  const said = (events: OpencodeEvent[]): string =>
    events.flatMap(({ type, part }) => (type === 'text' ? [part?.text ?? ''] : [])).join('');
  const one = await ask(firstQuestion('Bern'));
  const two = await ask('--continue', SECOND_QUESTION);
  const failed = [...one, ...two].filter(({ type }) => type === 'error');
  const stopped = await ask(FLAGGED_QUESTION);
  const reasons = stopped.flatMap(({ type, part }) => (type === 'step_finish' ? [part?.reason ?? ''] : []));
  return [
    {
      scenario: 'run, run --continue',
      city: 'Bern',
      turns: [said(one), said(two)],
      ...(failed.length === 0 ? {} : { error: JSON.stringify(failed) }),
    },
    { scenario: BLOCKED, shown: said(stopped), told: reasons.join() },
  ];
}

interface OpencodeEvent {
  type: string;
  part?: { text?: string; reason?: string };
}

async function llm(access: Access): Promise<readonly Facts[]> {
  const ask = async (...args: string[]): Promise<string> => {
    const options = { ...access, env: { LLM_USER_PATH: join(access.home, 'llm') }, cwd: join(here, 'python') };
    return (await run(join(VENVS.clients, 'bin', 'llm'), args, options)).stdout.trim();
  };
  const tools = ['--functions', join(here, 'python', 'llm_tools.py')];
  // Its default model is one of the Responses API.
  const one = await ask(...tools, firstQuestion('Bern'));
  const two = await ask('-c', ...tools, SECOND_QUESTION);
  const vector = JSON.parse(await ask('embed', '-m', 'text-embedding-3-small', '-c', 'Bern')) as number[];
  const shown = await ask(FLAGGED_QUESTION);
  return [
    { scenario: 'llm, llm -c', city: 'Bern', turns: [one, two] },
    { scenario: 'llm embed', ...(vector.length === 1_536 ? {} : { error: `${vector.length} numbers` }) },
    { scenario: BLOCKED, shown },
  ];
}

interface RunOptions extends Access {
  env?: Record<string, string>;
  cwd?: string;
  input?: string;
  /** Its exit status is not looked at. */
  mayFail?: boolean;
}

/** Runs a client as its user does: with the base URL and the key, and with none of this machine's settings. */
async function run(command: string, args: string[], options: RunOptions): Promise<{ stdout: string; stderr: string }> {
  const { baseUrl, key, home, env, cwd = home, input = '', mayFail = false } = options;
  const child = spawn(command, args, {
    cwd,
    env: {
      PATH: process.env.PATH,
      HOME: home,
      LANG: 'C.UTF-8',
      OPENAI_BASE_URL: baseUrl,
      OPENAI_API_BASE: baseUrl,
      OPENAI_API_KEY: key,
      // Traces would go to OpenAI itself, whatever the base URL.
      OPENAI_AGENTS_DISABLE_TRACING: '1',
      // It would fetch its list of prices from elsewhere.
      LITELLM_LOCAL_MODEL_COST_MAP: 'True',
      PYTHONDONTWRITEBYTECODE: '1',
      ...env,
    },
    timeout: RUN_MAX_MS,
    killSignal: 'SIGKILL',
  });
  let [stdout, stderr] = ['', ''];
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  child.stdin.on('error', () => undefined).end(input);
  const [status, signal] = (await once(child, 'close')) as [number | null, string | null];
  if (signal !== null || (status !== 0 && !mayFail))
    throw new Error(`${[command, ...args].join(' ')} ended with ${signal ?? status}: ${stderr.slice(-3_000)}`);
  return { stdout, stderr };
}

const factsIn = ({ stdout }: { stdout: string }): Facts[] => linesOf<Facts>(stdout);

const linesOf = <T>(text: string): T[] =>
  text
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line) as T);
