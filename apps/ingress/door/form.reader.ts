import { Busboy, type BusboyFileStream, type BusboyInstance } from '@fastify/busboy';
import type { FastifyRequest } from 'fastify';
import type { IncomingMessage } from 'node:http';
import { DaypassError } from '#libs/contracts/errors.js';
import type { Blob, Body } from '#libs/endpoints/endpoint.js';
import { jsonOfFields, type FormField } from '#libs/endpoints/files/form.fields.js';
import { PIECE_BYTES, type FileOwner, type FileStore } from '#libs/holds/file.store.js';
import { filesGone, filesOf, hungUp, overloaded, tooLarge } from '../refusals.js';
import type { StepLine } from '../step.line.js';
import type { BodyPlace } from './body.room.js';
import { Upload, type Step } from './upload.js';

/** No API has more fields and files. */
const PARTS_MAX = 64;
/** A sound of ten seconds fits in, as a `data:` URL. */
const FIELD_BYTES_MAX = 2_097_152;
const NAME_MAX = 200;
const FILENAME_MAX = 255;
const HEADERS_OF_PART_MAX = 16;
const HEADER_BYTES_MAX = 4_096;
/** What an open upload takes of this process: a piece, the same sealed, the same in the socket's hands, and a field. */
const OPEN_BYTES = 3 * PIECE_BYTES + FIELD_BYTES_MAX;
/** A short one takes less. */
const TIMES_OF_SHORT = 4;

export interface FormBounds {
  /** Of the whole form. */
  uploadBytes: number;
  /** Of all text fields. */
  fieldsBytes: number;
  /** Redis takes the last piece, or Daypass gives up. */
  patienceMs: number;
}

export interface ReadForm extends Body {
  /** Of its text fields, which this process holds. */
  bytes: number;
}

/** What a form takes of its process and of Redis, and how much of it came. */
export interface FormArrival {
  owner: FileOwner;
  place: BodyPlace;
  bytes: number;
}

/** Reads forms. Their files go to Redis piece by piece while they arrive. */
export class FormReader {
  constructor(
    private readonly files: FileStore,
    private readonly steps: Pick<StepLine, 'run'>,
    private readonly bounds: FormBounds,
  ) {}

  /** @throws DaypassError that says what is wrong with the form; VisitorLeft where it broke off. Nothing of it stays then */
  async read(request: FastifyRequest, payload: IncomingMessage, arrival: FormArrival): Promise<ReadForm> {
    const announced = Number(request.headers['content-length'] ?? OPEN_BYTES);
    const openBytes = Math.min(OPEN_BYTES, TIMES_OF_SHORT * announced);
    arrival.place.grow(openBytes);
    const { owner } = arrival;
    const form = new ArrivingForm(request.headers, arrival, this.bounds, {
      step: (bytes, work) => this.steps.run(owner.keyId, bytes, work),
      keep: (piece, content) => this.keep(owner, piece, content),
    });
    try {
      const { json, blobs, bytes } = await form.read(payload);
      arrival.place.shrink(openBytes);
      return { json, blobs, bytes };
    } catch (error) {
      await form.settled();
      // What stays here lapses.
      if (form.pieces > 0) await this.files.drop(owner.requestId).catch(() => undefined);
      throw error;
    }
  }

  /** @throws DaypassError where there is no room */
  private async keep(owner: FileOwner, piece: number, content: Buffer): Promise<void> {
    const keep = (): ReturnType<FileStore['keep']> => this.files.keep(owner, piece, content);
    const kept = await this.steps.run(owner.keyId, content.length, keep).catch(() => {
      throw overloaded();
    });
    if (kept === 'gone') throw filesGone();
    if (kept !== 'ok') throw filesOf(kept, this.files.mostOfKey);
  }
}

class ArrivingForm {
  pieces = 0;
  private readonly parser: BusboyInstance;
  private readonly fields: FormField[] = [];
  private readonly blobs: Blob[] = [];
  private fieldsBytes = 0;
  private readonly done = Promise.withResolvers<void>();
  private refusal: Error | undefined;
  private hasEnded = false;
  private isParsed = false;
  private writing: Promise<void> = Promise.resolve();
  private files: Promise<void> = Promise.resolve();

  constructor(
    headers: FastifyRequest['headers'],
    private readonly arrival: FormArrival,
    private readonly bounds: FormBounds,
    private readonly work: { step: Step; keep: (piece: number, content: Buffer) => Promise<void> },
  ) {
    this.parser = parserOf(headers);
    this.parser.on('field', (name, text, _, isCut) => this.attempt(() => this.takeField(name, text, isCut)));
    this.parser.on('file', (field, stream, filename) => this.takeFile(field, stream, filename));
    this.parser.on('partsLimit', () => this.refuse(invalid(`The form has more than ${PARTS_MAX} parts. Send fewer.`)));
    this.parser.on('error', () => this.refuse(broken()));
    this.parser.on('finish', () => {
      this.isParsed = true;
      this.finish();
    });
  }

  async read(payload: IncomingMessage): Promise<{ json: Body['json']; blobs: readonly Blob[]; bytes: number }> {
    payload.on('data', (chunk: Buffer) => this.feed(payload, chunk));
    const breakOff = (): void => this.refuse(hungUp(), true);
    let timer: NodeJS.Timeout | undefined;
    payload.once('end', () => {
      payload.off('close', breakOff);
      this.hasEnded = true;
      if (!this.isParsed && !this.refusal) this.parser.end();
      this.finish();
      timer = setTimeout(() => this.refuse(broken()), this.bounds.patienceMs);
    });
    payload.once('error', breakOff);
    payload.once('close', breakOff);
    try {
      await this.done.promise;
      return { json: jsonOfFields(this.fields), blobs: this.blobs, bytes: this.fieldsBytes };
    } finally {
      clearTimeout(timer);
    }
  }

  /** After a refusal: no piece is on its way to Redis any more. */
  settled(): Promise<void> {
    return this.writing.catch(() => undefined);
  }

  private feed(payload: IncomingMessage, chunk: Buffer): void {
    this.arrival.bytes += chunk.length;
    const { uploadBytes } = this.bounds;
    if (this.refusal) {
      // Its sender reads the refusal once all is sent. Nobody reads more away than this.
      if (this.arrival.bytes > 2 * uploadBytes) this.done.reject(this.refusal);
      return;
    }
    if (this.arrival.bytes > uploadBytes) return this.refuse(tooLarge('DAYPASS_MAX_UPLOAD_BYTES'));
    // What follows the form's end is none of it.
    if (this.isParsed || this.parser.write(chunk)) return;
    payload.pause();
    this.resume = () => payload.resume();
    this.parser.once('drain', this.resume);
  }

  /** All has arrived, and its files are in Redis. */
  private finish(): void {
    if (!this.hasEnded) return;
    if (this.refusal) this.done.reject(this.refusal);
    else if (this.isParsed) void this.files.then(() => this.done.resolve());
  }

  private resume = (): void => undefined;

  private takeField(name: string | undefined, text: string, isCut: boolean): void {
    const field = namedPart(name);
    if (isCut) throw invalid(`'${field}' is too long: a field has at most ${FIELD_BYTES_MAX} bytes.`, field);
    const bytes = Buffer.byteLength(text);
    this.fieldsBytes += bytes;
    if (this.fieldsBytes > this.bounds.fieldsBytes) throw tooLarge();
    this.arrival.place.grow(bytes);
    this.fields.push({ name: field, text });
  }

  /** One file after the other: a file that comes next waits in the parser. */
  private takeFile(name: string | undefined, stream: BusboyFileStream, filename: string | undefined): void {
    // Whoever reads it hears of the parser's error, too.
    stream.on('error', () => undefined);
    this.files = this.files
      .then(() => this.readFile(name, stream, filename))
      .catch((error: Error) => this.refuse(error));
  }

  private async readFile(
    name: string | undefined,
    stream: BusboyFileStream,
    filename: string | undefined,
  ): Promise<void> {
    const field = namedPart(name);
    if (!filename)
      throw invalid(`The file '${field}' has no name. Send it with filename="…", as an official client does.`, field);
    const upload = new Upload(this.pieces, this.work.step, (content) => this.write(content));
    for await (const chunk of stream.iterator({ destroyOnReturn: false })) {
      if (this.refusal) return;
      await upload.add(chunk as Buffer);
    }
    if (this.refusal) return;
    const blob = await upload.end(field, filename.slice(0, FILENAME_MAX));
    if (!blob) throw invalid(`The file '${field}' is empty. Send one that has content.`, field);
    this.blobs.push(blob);
  }

  private async write(content: Buffer): Promise<void> {
    if (this.refusal) throw this.refusal;
    this.writing = this.work.keep(this.pieces++, content);
    await this.writing;
  }

  private attempt(work: () => void): void {
    if (this.refusal) return;
    try {
      work();
    } catch (error) {
      this.refuse(error as Error);
    }
  }

  /** What still comes is read away, and nothing of it is kept. */
  private refuse(error: Error, isOver = this.hasEnded): void {
    this.refusal ??= error;
    if (isOver) this.done.reject(this.refusal);
    else this.resume();
  }
}

/** @throws DaypassError where the header names no boundary */
function parserOf(headers: FastifyRequest['headers']): BusboyInstance {
  try {
    return new Busboy({
      headers: { ...headers, 'content-type': headers['content-type'] ?? '' },
      limits: {
        fieldNameSize: NAME_MAX,
        fieldSize: FIELD_BYTES_MAX,
        parts: PARTS_MAX,
        headerPairs: HEADERS_OF_PART_MAX,
        headerSize: HEADER_BYTES_MAX,
      },
      isPartAFile: (_, type, filename) => filename !== undefined || !isText(type),
    });
  } catch {
    throw invalid(
      "The header 'content-type' names no boundary. Let your client write that header: it knows the form's boundary.",
    );
  }
}

/** Some clients name the type of a text field, too. */
const isText = (type = 'text/plain'): boolean => type.startsWith('text/') || type === 'application/json';

function namedPart(name: string | undefined): string {
  if (!name) throw invalid('A part of the form has no name. Send each with name="…" in its content-disposition.');
  if (name.length > NAME_MAX) throw invalid(`A name of the form is too long: it has at most ${NAME_MAX} characters.`);
  return name;
}

const broken = (): DaypassError =>
  invalid('The form breaks off, or has no end. Send it again, each part behind the boundary that the header names.');

const invalid = (message: string, param?: string): DaypassError =>
  new DaypassError('invalid_request', message, param === undefined ? {} : { param });
