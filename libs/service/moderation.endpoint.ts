import type OpenAI from 'openai';
import type { AskEndpoint } from '#libs/moderation/moderator.js';
import { plainPost, type PlainPost, type PostAddress } from './plain-post.js';

/**
 * Asks the moderation endpoint by plain posts, which cost half of what the official client takes for them. The client
 * gives the address and the headers once, so that its settings hold here too.
 */
export function moderationEndpoint(client: OpenAI, post: PlainPost = plainPost()): AskEndpoint {
  let address: Promise<PostAddress> | undefined;
  return async (request, timeoutMs) => {
    address ??= addressIn(client);
    return parsed(await post(await address, JSON.stringify(request), timeoutMs));
  };
}

async function addressIn(client: OpenAI): Promise<PostAddress> {
  const { req, url } = await client.buildRequest({ method: 'post', path: '/moderations', body: {} });
  const { origin, pathname, search } = new URL(url);
  return { origin, path: pathname + search, headers: [...req.headers].flat() };
}

/** @throws an error that does not quote the answer, which may hold content */
function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new Error('the answer is not JSON');
  }
}
