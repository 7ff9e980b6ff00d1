import type { Body } from './endpoint.js';

/** A request as it waits, sealed, for moderation and forwarding. The files of a form lie beside it. */
export const writtenBody = ({ json }: Body): string => JSON.stringify(json);

export const readBody = (text: string): Body => ({ json: JSON.parse(text) as unknown, blobs: [] });
