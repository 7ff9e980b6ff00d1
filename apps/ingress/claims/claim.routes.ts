import { claimAnswerSchema, claimRequestSchema, linkViewSchema } from '#libs/contracts/claims.js';
import type { ErrorCode } from '#libs/contracts/errors.js';
import { jsonSchemaOfForm, objectOf, type VisitorRoute } from '../visitor.route.js';

const KEYLESS_ERRORS: readonly ErrorCode[] = [
  'link_unknown',
  'request_timeout',
  'claim_rate_limited',
  'headers_too_large',
  'internal_error',
  'recovering',
];

export const CLAIM_ROUTES: readonly VisitorRoute[] = [
  {
    method: 'GET',
    path: '/claim/v1/links/{token}',
    operationId: 'links.retrieve',
    summary: 'A claim link: its state, what its keys get, and a challenge while it is open',
    answer: objectOf({ data: jsonSchemaOfForm(linkViewSchema) }),
    streams: false,
    about: 'claim',
    errors: KEYLESS_ERRORS,
  },
  {
    method: 'POST',
    path: '/claim/v1/links/{token}/claims',
    operationId: 'links.claim',
    summary: 'Claims a key of the link. Only this answer has the key',
    request: {
      accepts: ['application/json'],
      schema: jsonSchemaOfForm(claimRequestSchema),
      sample: { code: '7K3M-9QX2-HV4T' },
      isOptional: true,
    },
    answer: objectOf({ data: jsonSchemaOfForm(claimAnswerSchema) }),
    status: 201,
    streams: false,
    about: 'claim',
    errors: [
      ...KEYLESS_ERRORS,
      'invalid_request',
      'invalid_json',
      'pow_invalid',
      'claim_refused',
      'code_invalid',
      'link_not_started',
      'link_paused',
      'origin_not_allowed',
      'already_claimed',
      'claims_exhausted',
      'link_ended',
      'request_too_large',
      'unsupported_content_type',
      'paused',
      'overloaded',
    ],
  },
];
