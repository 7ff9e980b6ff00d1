import type { IncomingMessage, ServerResponse } from 'node:http';
import {
  hear,
  heardDollars,
  speak,
  spokenDollars,
  transcriptEvents,
  transcriptOf,
  type HeardOverride,
  type SpeechBody,
  type Spoken,
  type SpokenOverride,
} from './rehearsal.audio.js';
import { goneWith, readForm, readJson, refuse, sendBytes, type SentForm } from './rehearsal.http.js';
import { pause } from './rehearsal.pace.js';
import { apiKeyIdOf, NO_TOKENS, type RehearsalReports, type UsageReport } from './rehearsal.usage.js';
import { wav } from './wav.js';

export interface HeardCall {
  path: string;
  form: SentForm;
  state: 'running' | 'finished' | 'aborted' | 'refused' | 'cut';
}

export interface SpokenCall {
  body: SpeechBody;
  state: HeardCall['state'];
}

export type OnHeard = (form: SentForm) => HeardOverride | undefined | Promise<HeardOverride | undefined>;
export type OnSpoken = (body: SpeechBody) => SpokenOverride | undefined | Promise<SpokenOverride | undefined>;

interface Core {
  options: { firstTokenMs: number; tokensPerSecond: number };
  stopped: AbortSignal;
  reports: RehearsalReports;
  rememberHeard: (call: HeardCall) => void;
  rememberSpoken: (call: SpokenCall) => void;
  onHeard: OnHeard;
  onSpoken: OnSpoken;
}

const WAV_HEAD_BYTES = 44;
/** Bytes of one event, or of one piece, of sound. */
const EVENT_BYTES = 12_000;
const TYPES: Readonly<Record<string, string>> = {
  mp3: 'audio/mpeg',
  opus: 'audio/opus',
  aac: 'audio/aac',
  flac: 'audio/flac',
  wav: 'audio/wav',
  pcm: 'audio/pcm',
};

/** `POST /v1/audio/transcriptions`, `/v1/audio/translations` and `/v1/audio/speech`. */
export class AudioFace {
  constructor(private readonly core: Core) {}

  async hear(request: IncomingMessage, response: ServerResponse, isTranslation: boolean): Promise<void> {
    const form = await readForm(request);
    const call: HeardCall = { path: isTranslation ? 'translations' : 'transcriptions', form, state: 'running' };
    this.core.rememberHeard(call);
    const gone = goneWith(response, this.core.stopped);
    const override = (await this.core.onHeard(form)) ?? {};
    const heard = override.refuse ?? (await hear(form, isTranslation, override));
    if ('status' in heard) {
      call.state = 'refused';
      return refuse(response, heard);
    }
    await pause(this.core.options.firstTokenMs, gone);
    // The work is done, whoever still waits for it.
    this.bill(request, 'audio_transcriptions', heard.model, heardDollars(heard));
    if (heard.stream) return this.send(response, call, eventsOf(transcriptEvents(heard)), override, gone);
    call.state = 'finished';
    const { contentType, body } = override.raw ?? transcriptOf(heard);
    sendBytes(response, contentType, Buffer.from(body));
  }

  async speak(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = (await readJson(request)) as SpeechBody;
    const call: SpokenCall = { body, state: 'running' };
    this.core.rememberSpoken(call);
    const gone = goneWith(response, this.core.stopped);
    const override = (await this.core.onSpoken(body)) ?? {};
    const spoken = override.refuse ?? (await speak(body, override));
    if ('status' in spoken) {
      call.state = 'refused';
      return refuse(response, spoken);
    }
    await pause(this.core.options.firstTokenMs, gone);
    this.bill(request, 'audio_speeches', spoken.model, spokenDollars(spoken));
    const sound = soundOf(spoken);
    const parts = spoken.inEvents
      ? eventsOf(soundEvents(spoken, sound))
      : { type: TYPES[spoken.format] ?? 'audio/mpeg', parts: piecesOf(sound) };
    return this.send(response, call, parts, override, gone);
  }

  private async send(
    response: ServerResponse,
    call: HeardCall | SpokenCall,
    { type, parts }: { type: string; parts: readonly (string | Buffer)[] },
    { cutAfterEvents, restAfter }: Pick<SpokenOverride, 'cutAfterEvents' | 'restAfter'>,
    gone: AbortSignal,
  ): Promise<void> {
    const { tokensPerSecond } = this.core.options;
    response.writeHead(200, { 'content-type': type });
    for (const [index, part] of parts.entries()) {
      if (index === 1) await restAfter;
      if (index === cutAfterEvents) {
        call.state = 'cut';
        // What was written goes out first.
        response.write('', () => response.destroy());
        return;
      }
      response.write(part);
      if (tokensPerSecond > 0) await pause(1_000 / tokensPerSecond, gone);
      if (gone.aborted) {
        call.state = 'aborted';
        return;
      }
    }
    call.state = 'finished';
    response.end();
  }

  private bill({ headers }: IncomingMessage, api: UsageReport, model: string, dollars: number): void {
    const apiKeyId = apiKeyIdOf(headers.authorization);
    const common = { atMs: Date.now(), model, serviceTier: 'default', apiKeyId, usage: NO_TOKENS };
    this.core.reports.bill({ api, dollars, ...common });
  }
}

/** All formats are a wav, but for `pcm`, which is one without its head: the rehearsal encodes nothing. */
function soundOf({ seconds, format }: Spoken): Buffer {
  const sound = Buffer.from(wav(seconds));
  return format === 'pcm' ? sound.subarray(WAV_HEAD_BYTES) : sound;
}

const eventsOf = (events: readonly object[]): { type: string; parts: string[] } => ({
  type: 'text/event-stream; charset=utf-8',
  parts: events.map((event) => `data: ${JSON.stringify(event)}\n\n`),
});

const piecesOf = (sound: Buffer): Buffer[] =>
  Array.from({ length: Math.ceil(sound.length / EVENT_BYTES) }, (_, index) =>
    sound.subarray(index * EVENT_BYTES, (index + 1) * EVENT_BYTES),
  );

function soundEvents({ usage }: Spoken, sound: Buffer): object[] {
  return [
    ...piecesOf(sound).map((piece) => ({ type: 'speech.audio.delta', audio: piece.toString('base64') })),
    { type: 'speech.audio.done', ...(usage ? { usage } : {}) },
  ];
}
