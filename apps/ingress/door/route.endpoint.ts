import type { FastifyRequest } from 'fastify';
import type { Endpoint } from '#libs/endpoints/endpoint.js';
import { ENDPOINTS } from '#libs/endpoints/registry.js';

const byPath = new Map(ENDPOINTS.map((endpoint) => [endpoint.path, endpoint]));

/** By the route that the request found: a visitor cannot invent one. undefined: its route is of no API of OpenAI's. */
export const routeEndpoint = ({ routeOptions: { url } }: FastifyRequest): Endpoint | undefined => byPath.get(url ?? '');

/** The content types that the request's route takes. */
export const acceptsOf = (request: FastifyRequest): readonly string[] =>
  routeEndpoint(request)?.accepts ?? ['application/json'];
