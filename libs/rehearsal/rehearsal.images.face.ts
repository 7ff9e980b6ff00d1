import { once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Usage } from './rehearsal.chat.js';
import { goneWith, isForm, readForm, readJson, refuse, type SentFile } from './rehearsal.http.js';
import {
  eventsOfImages,
  imagesOf,
  planImages,
  type ImagesBody,
  type ImagesOverride,
  type ImagesPlan,
  type ImagesUsage,
} from './rehearsal.images.js';
import { pause } from './rehearsal.pace.js';
import { apiKeyIdOf, type RehearsalReports } from './rehearsal.usage.js';

export interface ImagesCall {
  path: 'generations' | 'edits';
  startedAtMs: number;
  body: ImagesBody;
  /** Of a form. */
  files: readonly SentFile[];
  state: 'running' | 'finished' | 'aborted' | 'refused';
  usage: ImagesUsage | undefined;
}

export type OnImages = (
  body: ImagesBody,
  call: ImagesCall,
) => ImagesOverride | undefined | Promise<ImagesOverride | undefined>;

interface Core {
  options: { firstTokenMs: number };
  stopped: AbortSignal;
  reports: RehearsalReports;
  remember: (call: ImagesCall) => void;
  override: OnImages;
}

const NUMBERS = ['n', 'partial_images', 'output_compression'];

/** `POST /v1/images/generations` and `/v1/images/edits`. */
export class ImagesFace {
  constructor(private readonly core: Core) {}

  async answer(request: IncomingMessage, response: ServerResponse, path: ImagesCall['path']): Promise<void> {
    const { body, files } = await readImages(request);
    const call: ImagesCall = { path, startedAtMs: Date.now(), body, files, state: 'running', usage: undefined };
    this.core.remember(call);
    const gone = goneWith(response, this.core.stopped);
    const override = (await this.core.override(body, call)) ?? {};
    const plan = override.refuse ?? (await planImages(path, body, files));
    if ('status' in plan) {
      call.state = 'refused';
      return refuse(response, plan);
    }
    await pause(override.firstByteMs ?? this.core.options.firstTokenMs, gone);
    // The work is done, whoever still waits for it.
    call.usage = plan.usage;
    this.core.reports.bill({
      api: 'images',
      atMs: Date.now(),
      model: plan.model,
      serviceTier: 'default',
      apiKeyId: apiKeyIdOf(request.headers.authorization),
      usage: billed(plan.usage),
    });
    if (gone.aborted) {
      call.state = 'aborted';
      return;
    }
    if (plan.stream) await this.stream(response, plan, override, gone);
    else await this.whole(response, plan, body.n ?? 1, override, gone);
    call.state = gone.aborted ? 'aborted' : 'finished';
  }

  private async whole(
    response: ServerResponse,
    plan: ImagesPlan,
    n: number,
    override: ImagesOverride,
    gone: AbortSignal,
  ): Promise<void> {
    response.writeHead(200, { 'content-type': 'application/json' });
    if (override.raw !== undefined) {
      response.end(override.raw);
      return;
    }
    let part = -1;
    for (const text of imagesOf(plan, n, override, seconds())) {
      if (!(await send(response, text, part++ === override.cutInEvent, gone))) return;
    }
    response.end();
  }

  private async stream(
    response: ServerResponse,
    plan: ImagesPlan,
    override: ImagesOverride,
    gone: AbortSignal,
  ): Promise<void> {
    response.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8', 'cache-control': 'no-cache' });
    let index = 0;
    for (const event of eventsOfImages(plan, override, seconds())) {
      await override.beforeEvent?.(index);
      if (gone.aborted) return;
      const text = `event: ${(event as { type: string }).type}\ndata: ${JSON.stringify(event)}\n\n`;
      if (!(await send(response, text, index++ === override.cutInEvent, gone))) return;
    }
    response.end();
  }
}

/** A token of an image that is read costs 1.6 times a token of text. */
function billed({ input_tokens_details: input, output_tokens: output }: ImagesUsage): Usage {
  const prompt = input.text_tokens + 1.6 * input.image_tokens;
  return {
    prompt_tokens: prompt,
    completion_tokens: output,
    total_tokens: prompt + output,
    prompt_tokens_details: { cached_tokens: 0 },
    completion_tokens_details: { reasoning_tokens: 0 },
  };
}

const seconds = (): number => Math.floor(Date.now() / 1_000);

/** `cut`: only half of it, and then the connection breaks. False where nothing more can be sent. */
async function send(response: ServerResponse, text: string, cut: boolean, gone: AbortSignal): Promise<boolean> {
  if (cut) {
    response.write(text.slice(0, text.length / 2), () => response.destroy());
    return false;
  }
  // Nothing drains once it is closed, and nobody says so twice.
  if (!response.write(text) && !response.closed) await Promise.race([once(response, 'drain'), once(response, 'close')]);
  return !gone.aborted && !response.closed;
}

/** A request in JSON, or in a form, whose fields become JSON. */
async function readImages(request: IncomingMessage): Promise<{ body: ImagesBody; files: readonly SentFile[] }> {
  if (!isForm(request)) return { body: (await readJson(request)) as ImagesBody, files: [] };
  const { fields, files } = await readForm(request);
  const read = (field: string, value = ''): unknown => {
    if (NUMBERS.includes(field)) return Number(value);
    return value === 'true' ? true : value === 'false' ? false : value;
  };
  const body = Object.fromEntries(Object.entries(fields).map(([field, values]) => [field, read(field, values[0])]));
  return { body, files };
}
