import { describe, expect, it } from '@jest/globals';
import { CHAT } from './chat/chat.endpoint.js';
import { endpointLabel, ENDPOINTS, nameOf } from './registry.js';

describe('the label that metrics have of an API', () => {
  it('is the name of its row', () => {
    for (const endpoint of ENDPOINTS) expect(endpointLabel(nameOf(endpoint))).toBe(endpoint.name);
    expect(endpointLabel({ endpoint: CHAT.name })).toBe(CHAT.name);
  });

  it.each(['', 'realtime', '__proto__', 'req_1'])('is unknown where this version has no row: %j', (endpoint) =>
    expect(endpointLabel({ endpoint })).toBe('unknown'),
  );
});
