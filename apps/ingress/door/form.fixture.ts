import { EMBEDDINGS } from '#libs/endpoints/embeddings/embeddings.endpoint.js';
import type { Body, Endpoint, Request } from '#libs/endpoints/endpoint.js';
import type { JsonObject } from '#libs/endpoints/json.js';
import { ENDPOINTS } from '#libs/endpoints/registry.js';

export const FORMS_PATH = '/v1/forms';

/** An API that takes forms of any fields: `model`, `input`, and whatever else. */
const FORMS: Endpoint = {
  ...EMBEDDINGS,
  name: 'forms',
  path: FORMS_PATH,
  accepts: ['multipart/form-data'],
  parse({ json, blobs }: Body): Request {
    const { model, input } = json as JsonObject;
    return { ...EMBEDDINGS.parse({ json: { model, input }, blobs: [] }), body: { json, blobs } };
  },
  forwarded: ({ body }: Request): Body => body,
};

/** Whoever imports this before ingress has a route for it. */
(ENDPOINTS as Endpoint[]).push(FORMS);
