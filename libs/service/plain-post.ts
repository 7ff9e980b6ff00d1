import { APIConnectionError, APIConnectionTimeoutError, APIError } from 'openai';
import { Agent, interceptors, type Dispatcher } from 'undici';
import { ERROR_BYTES_MAX, headersOf, spokenBody, TEXT_BYTES_MAX, UNPACKED_BYTES_MAX } from './plain-fetch.js';

/** Where to post, and which headers go along: names and values in turn. */
export interface PostAddress {
  origin: string;
  path: string;
  headers: string[];
}

const unpacked = interceptors.decompress({ skipErrorResponses: false, maxSize: UNPACKED_BYTES_MAX });

/** Posts JSON, and reads a whole answer. */
export type PlainPost = (address: PostAddress, body: string, timeoutMs: number) => Promise<string>;

/**
 * Posts without the official client, for short answers that come by the thousand: no stream, no signal and no retry of
 * its own. It has the client's bounds and throws the client's errors. `timeoutMs` is for the whole answer, so that
 * undici needs no limits of its own.
 */
export function plainPost(agent: Dispatcher = new Agent({ headersTimeout: 0, bodyTimeout: 0 })): PlainPost {
  const dispatcher = agent.compose(unpacked);
  return ({ origin, path, headers }, body, timeoutMs) =>
    new Promise((resolve, reject) => {
      const answer = new Answer(resolve, reject, timeoutMs);
      dispatcher.dispatch({ origin, path, method: 'POST', headers, body }, answer);
    });
}

/** Gathers one answer. Only its first end counts: undici also tells of the abort of an answer that has ended. */
class Answer implements Dispatcher.DispatchHandler {
  private readonly timer: NodeJS.Timeout;
  private controller: Dispatcher.DispatchController | undefined;
  private readonly pieces: Buffer[] = [];
  private bytes = 0;
  private status = 0;
  private headers: Parameters<typeof headersOf>[0] = {};
  private hasEnded = false;

  constructor(
    private readonly resolve: (text: string) => void,
    private readonly reject: (error: Error) => void,
    timeoutMs: number,
  ) {
    this.timer = setTimeout(() => this.breakOff(new APIConnectionTimeoutError()), timeoutMs);
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.controller = controller;
    // Its time was over before it had a connection.
    if (this.hasEnded) controller.abort(new APIConnectionTimeoutError());
  }

  onResponseStart(_: Dispatcher.DispatchController, status: number, headers: typeof this.headers): void {
    this.status = status;
    this.headers = headers;
  }

  onResponseData(_: Dispatcher.DispatchController, piece: Buffer): void {
    if (this.hasEnded) return;
    this.pieces.push(piece);
    this.bytes += piece.length;
    if (this.isOk && this.bytes > TEXT_BYTES_MAX)
      this.breakOff(new Error(`the upstream's answer is larger than ${TEXT_BYTES_MAX} bytes`));
    else if (!this.isOk && this.bytes > ERROR_BYTES_MAX) this.breakOff(this.errorAnswer());
  }

  onResponseEnd(): void {
    if (!this.isOk) this.fail(this.errorAnswer());
    else if (this.end()) this.resolve(this.text());
  }

  onResponseError(_: Dispatcher.DispatchController, cause: Error): void {
    this.fail(new APIConnectionError({ cause }));
  }

  private get isOk(): boolean {
    return this.status >= 200 && this.status < 300;
  }

  private errorAnswer(): APIError {
    const headers = headersOf(this.headers);
    const text = this.text().slice(0, ERROR_BYTES_MAX);
    return APIError.generate(this.status, spokenBody(text, this.status, headers), undefined, headers);
  }

  private text(): string {
    return (this.pieces.length === 1 ? this.pieces[0]! : Buffer.concat(this.pieces)).toString('utf8');
  }

  private breakOff(error: Error): void {
    this.fail(error);
    this.controller?.abort(error);
  }

  private fail(error: Error): void {
    if (this.end()) this.reject(error);
  }

  private end(): boolean {
    if (this.hasEnded) return false;
    this.hasEnded = true;
    clearTimeout(this.timer);
    return true;
  }
}
