import { DaypassError } from '#libs/contracts/errors.js';
import { compile, type Notes, type Put } from '../compile.js';
import { replacedIn, type Content, type Replacement } from '../content.js';
import { pacedTokensOf, withMargin } from '../counting.js';
import type { Shape } from '../declaration.js';
import {
  blobUrl,
  type Body,
  type CampaignTerms,
  type CountingTools,
  type Endpoint,
  type Forced,
  type ImageQuality,
  type Measured,
  type Request,
  type UpstreamTraits,
} from '../endpoint.js';
import { streamComment } from '../event.stream.js';
import { remoteImagesIn, withImagesIn } from '../images.js';
import type { JsonObject } from '../json.js';
import { wishIn } from '../request.shapes.js';
import { RequestSight } from '../request.sight.js';
import { IMAGES_ANSWER, IMAGES_EVENT } from './answer.declaration.js';
import { checkInputs, fieldsOf, sentAs } from './files.js';
import { ANSWER_BYTES_MAX, blockedForm, ImagesReader, isLast, streamError } from './images.reader.js';
import { EDITS_REQUEST, GENERATIONS_REQUEST } from './request.declaration.js';
import {
  answerBytesOf,
  INPUT_IMAGE_TOKENS,
  outputTokensOf,
  PARTIAL_TOKENS,
  planTokensOf,
  sizeOf,
  TEXT_TOKENS_OF_IMAGE,
  USUAL_SIZE,
} from './sizes.js';

/** Daypass sets them, so that nobody misses them. */
const OURS = ['moderation', 'safety_identifier'];
/** Without one of these it would be another request, or cost what nobody held. */
const NEEDED = new Set(['model', 'prompt', 'n', 'size', 'quality', 'images', 'mask', 'stream', 'partial_images']);

/** Dearest first. */
const QUALITIES: readonly ImageQuality[] = ['high', 'medium', 'low'];

/** What an API of images has of its own. */
interface Own {
  name: string;
  path: string;
  accepts: Endpoint['accepts'];
  shape: Shape;
  /** Images that it reads, and whether the request is as it must be with them. */
  inputsOf: (body: Body) => number;
  /** Fields of its own that Daypass sets. */
  forced: JsonObject;
}

function imagesEndpoint({ name, path, accepts, shape, inputsOf, forced }: Own): Endpoint {
  const request = compile(shape);

  const sightOf = ({ json }: Body): RequestSight => {
    const sight = new RequestSight();
    const { model: _, ...read } = json as JsonObject;
    request.visit(read, '', sight);
    return sight;
  };

  return {
    name,
    path: `/v1${path}`,
    accepts,
    directions: { input: 'judged', output: 'judged' },
    usageReport: 'images',
    unreported: 'bound',
    answerBytesMax: ANSWER_BYTES_MAX,
    blockedForm,
    declarations: { request: shape, answer: IMAGES_ANSWER, event: IMAGES_EVENT },
    inputParam: 'prompt',
    optional: OURS,

    sample: (model, prompt) => ({ model, prompt }),

    parse({ json, blobs }): Request {
      const notes: Notes = { adjusted: new Set(), ours: new Map() };
      const body = request.parse(json, '', notes) as JsonObject;
      if (notes.ours.get('moderation') === 'low') notes.adjusted.add('moderation');
      const inputs = inputsOf({ json: body, blobs });
      const { n = 1, partial_images: partials = 0 } = body as { n?: number; partial_images?: number };
      const stream = body.stream === true;
      if (stream && n > 1) throw invalid('n', "A stream has one image. Leave 'n' out, or 'stream'.");
      if (partials > 0 && !stream)
        throw invalid('partial_images', "'partial_images' is only allowed when 'stream' is true.");
      if (body.size === undefined || body.size === 'auto') {
        body.size = USUAL_SIZE;
        notes.adjusted.add(`size=${USUAL_SIZE}`);
      }
      const size = sizeOf(body.size as string);
      if (body.quality === 'auto') delete body.quality;
      return {
        body: { json: body, blobs },
        model: body.model as string,
        stream,
        outputs: 0,
        capTokens: null,
        serviceTier: 'default',
        searches: false,
        params: { cap: 'n', search: 'prompt', tier: 'model' },
        wish: wishIn(notes),
        adjusted: [...notes.adjusted],
        remoteImages: remoteImagesIn(request, body).length,
        facts: {
          inputImages: inputs,
          answerBytes: Math.min(ANSWER_BYTES_MAX, (n + partials) * answerBytesOf(size)),
        },
      };
    },

    forms(asked: Request, { images: { max, quality } }: CampaignTerms): readonly Request[] {
      const body = asked.body.json as JsonObject;
      if (((body.n as number | undefined) ?? 1) > max)
        throw invalid('n', `'n' is too large: this key makes at most ${max} images in one call.`);
      if (body.quality !== undefined) return [asked];
      return QUALITIES.slice(QUALITIES.indexOf(quality)).map((chosen) => ({
        ...asked,
        body: { ...asked.body, json: { ...body, quality: chosen } },
        adjusted: [...asked.adjusted, `quality=${chosen}`],
      }));
    },

    async measure({ body, model, facts }: Request, tools: CountingTools): Promise<Measured> {
      const {
        n = 1,
        partial_images: partials = 0,
        quality = 'high',
        size,
      } = body.json as {
        n?: number;
        partial_images?: number;
        quality?: ImageQuality;
        size: string;
      };
      const one = tools.imageTokensPerImage ?? outputTokensOf(model, sizeOf(size), quality);
      if (one === null) throw unknownTokens(model);
      const inputs = Number(facts.inputImages ?? 0);
      const counted = sightOf(body).counted();
      const text = (await tools.countTokens(counted)) + TEXT_TOKENS_OF_IMAGE * (n + inputs);
      const images = {
        ...(inputs > 0 ? { imageInput: INPUT_IMAGE_TOKENS * inputs } : {}),
        imageOutput: n * one + PARTIAL_TOKENS * partials,
      };
      const plan = n * planTokensOf(model);
      const planned = plan > 0 ? { output: plan } : {};
      return {
        estimate: { input: text, ...images },
        most: { input: withMargin(text), ...planned, ...images },
        perCapToken: {},
        pacedTokens: pacedTokensOf(counted, text, tools, (images.imageInput ?? 0) + images.imageOutput),
        pace: { images: n },
      };
    },

    forwarded({ body: { json, blobs } }: Request, { safetyIdentifier }: Forced): Body {
      return { json: { ...(json as JsonObject), ...forced, safety_identifier: safetyIdentifier }, blobs };
    },

    input: (body): Content[] => [
      ...sightOf(body).contents(),
      ...body.blobs.map((blob): Content => ({ kind: 'image', url: blobUrl(blob) })),
    ],

    redactedInput({ json, blobs }, replacements: readonly Replacement[]): Body {
      const replace = (text: string): string => replacedIn(text, replacements);
      const put: Put = { text: (_, text) => replace(text), key: replace, encoded: (_, text) => text };
      return { json: request.replaced(json, '', put), blobs };
    },

    remoteImages: ({ json }) => remoteImagesIn(request, json),

    withImages: ({ json, blobs }, images) => ({ json: withImagesIn(request, json, images), blobs }),

    call({ json, blobs }, _ticket, { drops }: UpstreamTraits) {
      const left = Object.keys(json as JsonObject).filter((field) => drops.includes(field) && !NEEDED.has(field));
      const sent = Object.entries(json as JsonObject).filter(([field]) => !left.includes(field));
      return {
        path,
        body: { json: Object.fromEntries(sent), blobs: sentAs(blobs) },
        form: blobs.length > 0 ? 'multipart' : 'json',
        dropped: left.filter((field) => !OURS.includes(field)),
      };
    },

    reader: (ticket) => new ImagesReader(ticket),

    streamError,
    streamComment,
    isLast,
  };
}

export const GENERATIONS: Endpoint = imagesEndpoint({
  name: 'images.generations',
  path: '/images/generations',
  accepts: ['application/json'],
  shape: GENERATIONS_REQUEST,
  inputsOf: () => 0,
  forced: { moderation: 'auto' },
});

const edits = imagesEndpoint({
  name: 'images.edits',
  path: '/images/edits',
  accepts: ['application/json', 'multipart/form-data'],
  shape: EDITS_REQUEST,
  inputsOf: checkInputs,
  forced: {},
});

export const EDITS: Endpoint = {
  ...edits,
  files: ['image', 'mask'],
  parse: ({ json, blobs }) => edits.parse({ json: fieldsOf(json), blobs }),
};

export const IMAGES: readonly Endpoint[] = [GENERATIONS, EDITS];

function unknownTokens(model: string): DaypassError {
  return new DaypassError(
    'unpriceable_request',
    `Nobody has told Daypass how many tokens an image of the model '${model}' has, so its cost has no bound. The operator can set prices.<model>.image_tokens_per_image in DAYPASS_CONFIG.`,
    { param: 'model' },
  );
}

function invalid(param: string, message: string): DaypassError {
  return new DaypassError('invalid_request', message, { param });
}
