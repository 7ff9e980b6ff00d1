import { Inject, Injectable } from '@nestjs/common';
import type { FastifyRequest } from 'fastify';
import type { IncomingMessage } from 'node:http';
import type { DaypassConfig } from '#libs/config/config.js';
import { parseJson, textOf, type Json } from '#libs/endpoints/json.js';
import { JsonScan } from '#libs/endpoints/json.scan.js';
import type { Blob } from '#libs/endpoints/endpoint.js';
import { FileStore } from '#libs/holds/file.store.js';
import { CONFIG } from '#libs/service/platform.tokens.js';
import { maxWaitOf } from '../domain/max-wait.js';
import { hungUp, tooLarge, unsupportedEncoding, unsupportedType } from '../refusals.js';
import { LARGE_BYTES, StepLine } from '../step.line.js';
import { BodyRoom, type BodyPlace } from './body.room.js';
import { FormReader } from './form.reader.js';
import { KeyBytes } from './key.bytes.js';
import { acceptsOf, routeEndpoint } from './route.endpoint.js';
import { visitorOf } from './visitor.js';

const JSON_TYPE = 'application/json';
export const FORM_TYPE = 'multipart/form-data';
/** A form that has arrived waits so much longer for its hold than the visitor is willing to. */
const UPLOAD_MARGIN_MS = 30_000;
const FIRST_BYTES = 16_384;
const MOST_AHEAD_BYTES = 1_048_576;
const NOTHING = Buffer.alloc(0);

/** A request's body. Whoever takes it gives its place back. */
export interface ReadBody {
  json: Json;
  /** Files of a form, which lie in Redis. Whoever begins no call drops them. */
  blobs: readonly Blob[];
  /** That this process holds. */
  bytes: number;
  /** Redis counts the bytes of each body once, among those that its key sends. */
  isCounted: boolean;
  place: BodyPlace;
}

interface Arrival {
  place: BodyPlace;
  scan: JsonScan;
  /** All that arrived, kept or not. */
  bytes: number;
}

/** Reads the bodies of visitors whose key is known. Every bound holds while the body arrives. */
@Injectable()
export class BodyReader {
  private readonly room: BodyRoom;
  private readonly forms: FormReader;
  private readonly bodyBytes: number;
  private readonly uploadBytes: number;
  private readonly uploadLifeMs: number;
  private readonly maxWaitMs: number;

  constructor(
    @Inject(CONFIG) { limits }: DaypassConfig,
    private readonly steps: StepLine,
    private readonly keyBytes: KeyBytes,
    private readonly files: FileStore,
  ) {
    this.bodyBytes = limits.bodyBytes;
    this.uploadBytes = limits.uploadBytes;
    this.uploadLifeMs = limits.requestTimeoutMs + UPLOAD_MARGIN_MS;
    this.maxWaitMs = limits.maxWaitMs;
    this.room = new BodyRoom(limits.bodiesBytes, limits.bodyBytes);
    this.forms = new FormReader(files, steps, {
      uploadBytes: limits.uploadBytes,
      fieldsBytes: limits.bodyBytes,
      patienceMs: limits.requestTimeoutMs,
    });
  }

  /** @throws DaypassError that says what is wrong with the body; VisitorLeft where it broke off */
  async read(request: FastifyRequest, payload: IncomingMessage): Promise<ReadBody> {
    this.refuseForm(request, JSON_TYPE);
    // Nobody reads so much away.
    const announced = Number(request.headers['content-length'] ?? 0);
    if (announced > 2 * this.bodyBytes) throw tooLarge();
    const { key, campaign } = visitorOf(request);
    const keyId = key.id;
    this.keyBytes.refuseFull(keyId, announced);
    const place = this.room.enter({ keyId, campaignId: campaign.id });
    const arrival: Arrival = { place, scan: new JsonScan(numbersOf(request)), bytes: 0 };
    let isCounted = false;
    try {
      const bytes = await this.arrived(payload, announced, arrival);
      // A small one is counted with its hold, which costs no round trip.
      isCounted = bytes.length >= LARGE_BYTES;
      if (isCounted) await this.keyBytes.count(keyId, bytes.length);
      // Many clients name a type of content with every request, also where they have none.
      if (bytes.length === 0 && request.method === 'DELETE')
        return { json: undefined, blobs: [], bytes: 0, isCounted, place };
      const text = await this.steps.run(keyId, bytes.length, () => textOf(bytes));
      const json = await this.steps.run(keyId, bytes.length, () => parseJson(text, bytes, arrival.scan));
      return { json, blobs: [], bytes: bytes.length, isCounted, place };
    } catch (error) {
      place.leave();
      if (!isCounted) await this.keyBytes.count(keyId, arrival.bytes);
      throw error;
    }
  }

  /** Reads a form, whose files go to Redis while they arrive. @throws as `read` */
  async readForm(request: FastifyRequest, payload: IncomingMessage): Promise<ReadBody> {
    this.refuseForm(request, FORM_TYPE);
    const announced = Number(request.headers['content-length'] ?? 0);
    if (announced > 2 * this.uploadBytes) throw tooLarge('DAYPASS_MAX_UPLOAD_BYTES');
    const { key, campaign } = visitorOf(request);
    const keyId = key.id;
    this.keyBytes.refuseFull(keyId, announced);
    const waitMs = maxWaitOf(request.headers['x-daypass-max-wait-ms'], this.maxWaitMs);
    const owner = { requestId: request.id, keyId, lifeMs: this.uploadLifeMs + waitMs };
    const place = this.room.enter({ keyId, campaignId: campaign.id });
    const arrival = { owner, place, bytes: 0 };
    let isCounted = false;
    try {
      const form = await this.forms.read(request, payload, arrival);
      isCounted = true;
      await this.keyBytes.count(keyId, arrival.bytes).catch((error: unknown) => this.dropped(form, request.id, error));
      return { ...form, isCounted, place };
    } catch (error) {
      place.leave();
      if (!isCounted) await this.keyBytes.count(keyId, arrival.bytes);
      throw error;
    }
  }

  private async dropped({ blobs }: Pick<ReadBody, 'blobs'>, requestId: string, error: unknown): Promise<never> {
    if (blobs.length > 0) await this.files.drop(requestId).catch(() => undefined);
    throw error;
  }

  /** @throws DaypassError where the route takes no such body, or it is compressed */
  private refuseForm(request: FastifyRequest, type: string): void {
    const accepts = acceptsOf(request);
    if (!accepts.includes(type)) throw unsupportedType(accepts);
    const encoding = request.headers['content-encoding'];
    if (encoding !== undefined && encoding !== 'identity') throw unsupportedEncoding();
  }

  /**
   * Reads a refused body to its end, but keeps none of it. Otherwise its sender would see a broken connection, not the
   * refusal.
   */
  private arrived(payload: IncomingMessage, announced: number, arrival: Arrival): Promise<Buffer> {
    const { place, scan } = arrival;
    return new Promise((resolve, reject) => {
      // Many may announce much and send nothing.
      let bytes = Buffer.allocUnsafe(Math.min(Math.max(announced, FIRST_BYTES), MOST_AHEAD_BYTES, this.bodyBytes));
      let length = 0;
      let refusal: Error | undefined;
      const keep = (chunk: Buffer): void => {
        if (length + chunk.length > this.bodyBytes) throw tooLarge();
        place.grow(chunk.length);
        if (length + chunk.length > bytes.length) {
          const larger = Buffer.allocUnsafe(Math.min(this.bodyBytes, 2 * (length + chunk.length)));
          bytes.copy(larger, 0, 0, length);
          bytes = larger;
        }
        chunk.copy(bytes, length);
        length += chunk.length;
        scan.read(bytes, length - chunk.length, length);
      };
      payload.on('data', (chunk: Buffer) => {
        arrival.bytes += chunk.length;
        try {
          if (refusal === undefined) keep(chunk);
          else if (arrival.bytes > 2 * this.bodyBytes) reject(refusal);
        } catch (error) {
          refusal = error as Error;
          bytes = NOTHING;
          place.leave();
        }
      });
      // Each request closes. Only one that broke off needs an error, and an error its stack.
      const breakOff = (): void => reject(hungUp());
      payload.once('end', () => {
        payload.off('close', breakOff);
        if (refusal === undefined) resolve(bytes.subarray(0, length));
        else reject(refusal);
      });
      payload.once('error', breakOff);
      payload.once('close', breakOff);
    });
  }
}

const numbersOf = (request: FastifyRequest): number => routeEndpoint(request)?.numbersMax ?? 0;
