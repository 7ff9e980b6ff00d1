/** A path with its query, and the model that an Azure-shaped path names. */
interface RequestPath {
  url: string;
  deployment: string | null;
}

/** An address as the documentation of each API has it. */
const PLAIN = /^\/v1(?:\/[^/?#]+)+$/;
const DEPLOYMENT = /^\/openai\/deployments\/([^/]+)(\/.+)$/;
const AZURE = /^\/openai(?=\/)/;
const VERSION = /^api-version(=|$)/;

/**
 * Where a request goes. A slash at the end and several in a row do not count. A missing `/v1` is added. The shapes of
 * Azure OpenAI find their path, too, without their version. Every other address stays as it is, and nothing is decoded. `served`: what clients
 * may ask for without `/v1`.
 */
export function requestPath(asked: string, served: readonly string[]): RequestPath {
  if (PLAIN.test(asked)) return { url: asked, deployment: null };
  const end = asked.search(/[?#]/);
  const [before, query] = end < 0 ? [asked, ''] : [asked.slice(0, end), asked.slice(end)];
  if (!before.startsWith('/')) return { url: asked, deployment: null };
  const path = before.replaceAll(/\/{2,}/g, '/').replace(/(?<=.)\/$/, '');
  const isServed = (rest: string): boolean => served.some((one) => rest === one || rest.startsWith(`${one}/`));
  const [, deployment, operation] = DEPLOYMENT.exec(path) ?? [];
  if (deployment !== undefined && operation !== undefined) {
    const model = decoded(deployment);
    if (model !== null && isServed(operation))
      return { url: `/v1${operation}${withoutVersion(query)}`, deployment: model };
  }
  const isAzure = AZURE.test(path);
  const rest = path.replace(AZURE, '');
  const found = isServed(rest) ? `/v1${rest}` : rest.startsWith('/v1/') ? rest : path;
  return { url: found + (isAzure ? withoutVersion(query) : query), deployment: null };
}

/** Clients of Azure OpenAI name a version with each request. Daypass has one. */
function withoutVersion(query: string): string {
  if (!query.startsWith('?')) return query;
  const left = query
    .slice(1)
    .split('&')
    .filter((one) => !VERSION.test(one));
  return left.length > 0 ? `?${left.join('&')}` : '';
}

function decoded(text: string): string | null {
  try {
    return decodeURIComponent(text);
  } catch {
    return null;
  }
}
