import { DaypassError } from '#libs/contracts/errors.js';
import type { Blob, Body } from '../endpoint.js';
import { isObject, type Json, type JsonObject } from '../json.js';
import { INPUT_IMAGES_MAX } from './request.declaration.js';

/** What the moderation endpoint takes of one image. */
export const JUDGED_BYTES_MAX = 20_000_000;
const TYPES = new Set(['image/png', 'image/jpeg', 'image/webp']);
/** How a data: URL of one of these begins. */
const DATA = /^data:image\/(png|jpe?g|webp);base64,(iVBORw0KGgo|\/9j\/|UklGR)/i;
const IMAGE_FIELD = /^image(\[\d{0,2}\])?$/;
const MASK = 'mask';

const NUMBERS = ['n', 'partial_images', 'output_compression'];
const FLAGS = ['stream', 'moderateInput', 'moderateOutput'];

const nameOf = ({ field }: Blob): string => (field === MASK ? MASK : 'image');

/** The fields of a form, which are all strings, as JSON has them. What is no number, and no flag, is refused by name later. */
export function fieldsOf(json: Json): Json {
  if (!isObject(json)) return json;
  const read = (name: string, value: unknown): unknown => {
    if (typeof value !== 'string') return value;
    if (NUMBERS.includes(name)) return /^\d{1,4}$/.test(value) ? Number(value) : value;
    if (FLAGS.includes(name)) return value === 'true' ? true : value === 'false' ? false : value;
    return value;
  };
  return Object.fromEntries(Object.entries(json).map(([name, value]) => [name, read(name, value)]));
}

/** How many images an edit reads, its mask included. @throws DaypassError that names the field of one that is none */
export function checkInputs({ json, blobs }: Body): number {
  const { images, mask } = json as JsonObject;
  for (const blob of blobs) checkFile(blob);
  const files = blobs.filter(({ field }) => field !== MASK).length;
  const masks = blobs.length - files + (mask === undefined ? 0 : 1);
  const named = urlsIn(images);
  if (files > 0 && named.length > 0) throw invalid('images', "Send images as files or as 'images', not both.");
  if (files + named.length === 0)
    throw invalid('image', "'image' is required: a file of a form, or JSON with 'images': [{'image_url': '…'}].");
  if (files > INPUT_IMAGES_MAX) throw invalid('image', `An edit takes at most ${INPUT_IMAGES_MAX} images.`);
  if (masks > 1) throw invalid(MASK, 'An edit takes one mask.');
  for (const [index, url] of named.entries()) checkUrl(url, `images[${index}].image_url`);
  for (const url of urlsIn(mask === undefined ? [] : [mask])) checkUrl(url, 'mask.image_url');
  return files + named.length + masks;
}

/** As upstreams name the files of an edit. */
export function sentAs(blobs: readonly Blob[]): readonly Blob[] {
  const images = blobs.filter(({ field }) => field !== MASK);
  const masks = blobs.filter(({ field }) => field === MASK);
  return [...images.map((blob) => ({ ...blob, field: images.length === 1 ? 'image' : 'image[]' })), ...masks];
}

function checkFile(blob: Blob): void {
  const { field, type, bytes } = blob;
  if (field !== MASK && !IMAGE_FIELD.test(field))
    throw new DaypassError('unknown_parameter', `An edit takes no file called '${field.slice(0, 40)}'.`, {
      param: field.slice(0, 40),
    });
  const name = nameOf(blob);
  if (!TYPES.has(type))
    throw invalid(name, `A file of '${name}' is no image: its first bytes are those of no png, jpeg or webp.`);
  if (bytes > JUDGED_BYTES_MAX)
    throw invalid(name, `A file of '${name}' has ${bytes} bytes. Nobody can judge more than ${JUDGED_BYTES_MAX}.`);
  if (name === MASK && type !== 'image/png')
    throw invalid(MASK, "'mask' must be a png: only its transparency is read.");
}

function checkUrl(url: string, param: string): void {
  if (!/^data:/i.test(url)) return;
  if (!DATA.test(url))
    throw invalid(param, `'${param}' is no image: its first bytes are those of no png, jpeg or webp.`);
  if (url.length > (4 * JUDGED_BYTES_MAX) / 3 + 100)
    throw invalid(param, `'${param}' is too large. Nobody can judge more than ${JUDGED_BYTES_MAX} bytes.`);
}

const urlsIn = (pictures: unknown): string[] =>
  Array.isArray(pictures) ? (pictures as { image_url: string }[]).map(({ image_url: url }) => url) : [];

function invalid(param: string, message: string): DaypassError {
  return new DaypassError('invalid_request', message, { param });
}
