import type { Compiled, Put, Sight } from './compile.js';
import type { Json } from './json.js';

/** An image that a request names by its address. `param`: where, e.g. `messages[0].content[1].image_url.url`. */
export interface RemoteImage {
  url: string;
  param: string;
}

const isRemote = (url: string): boolean => /^https?:/i.test(url);
const ignore = (): void => undefined;

/** In the order in which they stand there. One address may stand in several places. */
export function remoteImagesIn(request: Compiled, json: Json): RemoteImage[] {
  const found: RemoteImage[] = [];
  const sight: Sight = {
    text: ignore,
    encoded: ignore,
    open: ignore,
    unknown: ignore,
    name: ignore,
    image: (path, url) =>
      void (isRemote(url) && found.push({ url, param: path.replaceAll(/\.(\d+)(?=\.|$)/g, '[$1]') })),
  };
  request.visit(json, '', sight);
  return found;
}

/** The same request with images in the place of their addresses. `images`: a `data:` URL for each address. */
export function withImagesIn(request: Compiled, json: Json, images: ReadonlyMap<string, string>): Json {
  const same = (text: string): string => text;
  const put: Put = {
    text: (_, text) => text,
    key: same,
    encoded: (_, text) => text,
    image: (url) => images.get(url) ?? url,
  };
  return request.replaced(json, '', put);
}
