import { describe, expect, it } from '@jest/globals';
import { requestPath } from './request-path.js';

const served = ['/chat/completions', '/models'];
const pathOf = (url: string) => requestPath(url, served);

describe('the path of a request', () => {
  it.each([
    ['/v1/chat/completions', '/v1/chat/completions'],
    ['/v1/chat/completions/', '/v1/chat/completions'],
    ['//v1//chat///completions//?a=//b/', '/v1/chat/completions?a=//b/'],
    ['/chat/completions', '/v1/chat/completions'],
    ['/models', '/v1/models'],
    ['/models/gpt-5.4-mini/', '/v1/models/gpt-5.4-mini'],
    ['/openai/v1/chat/completions?api-version=preview', '/v1/chat/completions'],
    ['/openai/models/a?limit=2&api-version=preview&after=b', '/v1/models/a?limit=2&after=b'],
    ['/v1/models?api-version=1', '/v1/models?api-version=1'],
    ['/openai/models?api-version=2026-01-01', '/v1/models'],
  ])('%s finds %s', (asked, url) => expect(pathOf(asked)).toEqual({ url, deployment: null }));

  it.each([
    '/',
    '/key',
    '/v1',
    '/v2/chat/completions',
    '/chat/completions2',
    '/modelsx',
    '/v1/v1/models',
    '/%76%31/chat/completions',
    '/webhooks/openai',
    '/openai/key',
    '/openai/deployments/gpt/keys',
    '/openai/deployments//chat/completions',
    '/openai/deployments/%zz/chat/completions',
    '*',
    'http://daypass/chat/completions',
    '/?/chat/completions',
  ])('%s stays where it is', (asked) => {
    const { url, deployment } = pathOf(asked);
    expect({ url: url.startsWith('/v1/') ? url : 'none', deployment }).toEqual({
      url: asked.startsWith('/v1/') ? asked : 'none',
      deployment: null,
    });
  });

  it('of a deployment names its model', () => {
    expect(pathOf('/openai/deployments/gpt-5.4-mini/chat/completions?api-version=2026-01-01')).toEqual({
      url: '/v1/chat/completions',
      deployment: 'gpt-5.4-mini',
    });
    expect(pathOf('/openai/deployments/openai%2Fgpt-5/chat/completions/').deployment).toBe('openai/gpt-5');
  });

  it('is found in little time', () => {
    const begun = performance.now();
    pathOf('/'.repeat(16_000) + 'x'.repeat(16_000) + '/'.repeat(16_000));
    expect(performance.now() - begun).toBeLessThan(1_000);
  });
});
