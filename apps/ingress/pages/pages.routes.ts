import { createHash } from 'node:crypto';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { renderSVG } from 'uqr';
import type { DaypassConfig } from '#libs/config/config.js';
import type { LinkView, PrivacyView } from '#libs/contracts/claims.js';
import { DaypassError } from '#libs/contracts/errors.js';
import { HELP_PATH } from '#libs/contracts/help.js';
import { BuiltPages } from '#libs/pages/built.pages.js';
import { EMBED_HEADERS, VISITORS_HEADERS } from '#libs/pages/headers.js';
import { serveFiles } from '#libs/pages/serve.js';
import type { LinkViews, LinkVisit } from '../claims/link.views.js';
import { wantsHtml, wantsPage } from '../domain/answer-form.js';
import { badgeSvg } from '../domain/badge.js';
import { isLinkToken } from '../domain/claim-link.js';
import { badgeWords, describeLink, linkInText, titleOf } from '../domain/claim-words.js';
import { keepFromPages } from '../door/cors.js';
import { publicUrlOf } from '../door/public.url.js';
import { routeAccess } from '../door/route-guard.js';
import { recovering, unservedUrl } from '../refusals.js';

/** GitHub's proxy keeps a badge for as long as this says. */
const BADGE_CACHE = 'public, max-age=60';
/** It changes with the public address alone. */
const QR_CACHE = 'public, max-age=300';
/** Who takes nothing for so long does not keep a connection. */
const IDLE_MS = 30_000;
const DESCRIPTION = 'Daypass gives visitors of a project a key of its own with a budget, to try the project out.';
const NOSCRIPT = 'This page needs JavaScript. Switch it on for this page, or ask whoever gave you the link for a key.';

type LinkRequest = FastifyRequest<{ Params: { token: string } }>;
type Unread = NonNullable<PrivacyView['error']>;
type Read = { view: LinkView } | { error: Unread };

/** The pages for visitors. None needs a key, and those that name no link ask no store. */
export function servePages(
  fastify: FastifyInstance,
  {
    links,
    config,
    pages = new BuiltPages('visitors'),
  }: { links: LinkViews; config: DaypassConfig; pages?: BuiltPages },
): void {
  const route = { config: routeAccess('keyless') };
  const html = (reply: FastifyReply, body: string): FastifyReply =>
    reply.headers(VISITORS_HEADERS).type('text/html; charset=utf-8').send(body);
  const linkUrl = (request: FastifyRequest, token: string): string =>
    `${publicUrlOf(request.headers, config)}/c/${token}`;

  const read = async (token: string, request: FastifyRequest, as: LinkVisit['as'] = 'picture'): Promise<Read> => {
    if (!isLinkToken(token)) return { error: 'link_unknown' };
    try {
      const view = await links.view(token, { request, as });
      return view === null ? { error: 'link_unknown' } : { view };
    } catch (error) {
      if (error instanceof DaypassError && error.code === 'recovering') return { error: error.code };
      throw error;
    }
  };

  void fastify.register((scope) =>
    serveFiles(scope, { pages: new BuiltPages('embed'), headers: EMBED_HEADERS, ...route }),
  );
  void fastify.register(async (scope) => {
    scope.addHook('onRequest', (_request, reply, done) => {
      keepFromPages(reply);
      reply.raw.setTimeout(IDLE_MS, () => reply.raw.destroy());
      done();
    });
    await serveFiles(scope, { pages, headers: VISITORS_HEADERS, ...route });

    scope.get('/', route, async (request, reply) => {
      if (!wantsHtml(request.headers)) throw unservedUrl(request.method, request.url, request.originalUrl);
      void reply.header('vary', 'accept');
      return html(
        reply,
        pages.shell({
          entry: 'visitors/home/main.tsx',
          title: 'Daypass',
          description: DESCRIPTION,
          noscript: NOSCRIPT,
        }),
      );
    });

    scope.get('/key', route, async (_request, reply) =>
      html(reply, pages.shell({ entry: 'visitors/key/main.tsx', title: 'My key · Daypass', noscript: NOSCRIPT })),
    );

    scope.get('/play', route, async (_request, reply) =>
      html(reply, pages.shell({ entry: 'visitors/play/main.tsx', title: 'Playground · Daypass', noscript: NOSCRIPT })),
    );

    scope.get(HELP_PATH, route, async (_request, reply) =>
      html(
        reply,
        pages.shell({
          entry: 'visitors/help/main.tsx',
          title: 'What an error means · Daypass',
          description: 'Each error code of Daypass: what it means, whether a retry helps, and what to do.',
          noscript: 'This page needs JavaScript. docs/errors.md of Daypass says the same.',
        }),
      ),
    );

    scope.get('/c/:token', route, async (request: LinkRequest, reply) => {
      const { token } = request.params;
      const asPage = wantsPage(request.headers);
      const found = await read(token, request, asPage ? 'page' : 'picture');
      answerAs(reply, found).header('vary', 'accept, user-agent');
      const shown =
        'view' in found
          ? {
              title: titleOf(found.view),
              description: describeLink(found.view),
              state: found.view,
              noscript: NOSCRIPT,
              lines: linkInText(found.view, linkUrl(request, token)),
            }
          : {
              ...UNREAD[found.error],
              noscript: UNREAD[found.error].description,
              lines: `${UNREAD[found.error].description}\n`,
            };
      if (asPage) return html(reply, pages.shell({ entry: 'visitors/claim/main.tsx', ...shown }));
      return reply.headers(VISITORS_HEADERS).type('text/plain; charset=utf-8').send(shown.lines);
    });

    scope.get('/c/:token/badge.svg', route, async (request: LinkRequest, reply) => {
      const found = await read(request.params.token, request);
      if ('view' in found)
        return picture(
          request,
          reply,
          badgeSvg({ title: titleOf(found.view), ...badgeWords(found.view) }),
          BADGE_CACHE,
        );
      const { title, badge } = UNREAD[found.error];
      return picture(request, answerAs(reply, found), badgeSvg({ title, text: badge, open: false }), 'no-store');
    });

    scope.get('/c/:token/qr.svg', route, async (request: LinkRequest, reply) => {
      const { token } = request.params;
      if (!isLinkToken(token)) throw unservedUrl(request.method, request.url, request.originalUrl);
      // `M`: a print may lose 15 % of it.
      return picture(request, reply, renderSVG(linkUrl(request, token), { ecc: 'M', border: 4 }), QR_CACHE);
    });

    scope.get('/privacy', route, async (request: FastifyRequest<{ Querystring: { link?: unknown } }>, reply) => {
      const { link } = request.query;
      const found = typeof link === 'string' ? await read(link, request) : null;
      if (found) answerAs(reply, found);
      const state: PrivacyView = {
        link: found && 'view' in found ? shownOf(found.view) : null,
        error: found && 'error' in found ? found.error : null,
      };
      return html(
        reply,
        pages.shell({
          entry: 'visitors/privacy/main.tsx',
          title: 'What is recorded · Daypass',
          description: 'What Daypass keeps of your calls, for how long, and how to have it deleted.',
          state,
          noscript: NOSCRIPT,
        }),
      );
    });

    scope.get('/robots.txt', route, async (_request, reply) =>
      reply
        .headers({ ...VISITORS_HEADERS, 'cache-control': QR_CACHE })
        .type('text/plain; charset=utf-8')
        .send('User-agent: *\nDisallow: /c/\nDisallow: /key\nDisallow: /play\n'),
    );
  });
}

const UNREAD: Readonly<Record<Unread, { title: string; description: string; badge: string }>> = {
  link_unknown: {
    title: 'No such link · Daypass',
    description:
      'There is no such claim link. It may have a typing error, or its operator removed it: ask whoever gave it to you.',
    badge: 'no such link',
  },
  recovering: {
    title: 'One moment · Daypass',
    description: 'Daypass is recovering and cannot read this link now. Please try again in a moment.',
    badge: 'not known now',
  },
};

/** 404 and 503 as programs expect them; the page tries again by itself. */
function answerAs(reply: FastifyReply, found: Read): FastifyReply {
  const state = 'view' in found ? found.view.state : found.error;
  if (state === 'link_unknown') return reply.status(404);
  return state === 'recovering'
    ? reply.status(503).header('retry-after', recovering().headers()['retry-after'])
    : reply;
}

function shownOf({ token, campaign, recorded, page }: LinkView): NonNullable<PrivacyView['link']> {
  return { token, campaign, recorded, title: page.title, contact: page.contact, privacy_url: page.privacy_url };
}

function picture(request: FastifyRequest, reply: FastifyReply, svg: string, cache: string): FastifyReply {
  const tag = `"${createHash('sha256').update(svg).digest('base64url').slice(0, 22)}"`;
  void reply.headers({ ...VISITORS_HEADERS, 'cache-control': cache, etag: tag });
  if (reply.statusCode === 200 && request.headers['if-none-match'] === tag) return reply.status(304).send();
  return reply.type('image/svg+xml; charset=utf-8').send(svg);
}
