import { describe, expect, it } from '@jest/globals';
import { clientOf, clientRequestId, refuseBetas } from './client-headers.js';

describe('a beta', () => {
  it.each([
    [undefined, '/v1/responses'],
    ['assistants=v2', '/v1/responses'],
    ['responses=experimental, realtime=v1', '/v1/responses?beta=false'],
    ['responses_websockets=2026-02-06', '/v1/responses?alpha=true&beta='],
    ['chatkit_beta=v1,responses_multi_agents=v1', '/v1/responses?xbeta=true'],
  ])('%s at %s is ignored', (beta, url) =>
    expect(refuseBetas(beta === undefined ? {} : { 'openai-beta': beta }, url)).toBeUndefined(),
  );

  it.each([
    ['responses_multi_agent=v1', '/v1/responses', 'OpenAI-Beta', "'responses_multi_agent=v1'"],
    ['responses=experimental , responses_multi_agent=v2', '/', 'OpenAI-Beta', "'responses_multi_agent=v2'"],
    ['assistants=v2', '/v1/responses?beta=true', 'beta', 'beta=true'],
    ['', '/v1/responses?limit=1&beta=x&b%65ta=true', 'beta', 'beta=true'],
  ])('%s at %s is refused by name', (beta, url, param, words) => {
    expect(() => refuseBetas({ 'openai-beta': beta }, url)).toThrow(
      expect.objectContaining({ code: 'invalid_request', param, message: expect.stringContaining(words) }),
    );
  });
});

describe('the name that a program gives its request', () => {
  it.each(['7f1c', 'a b-~', 'x'.repeat(128)])('is logged: %s', (id) =>
    expect(clientRequestId({ 'x-client-request-id': id })).toEqual({ clientRequestId: id }),
  );

  it.each([undefined, '', 'x'.repeat(129), 'naïve', 'tab\there'])('is not logged: %s', (id) =>
    expect(clientRequestId({ 'x-client-request-id': id })).toEqual({}),
  );
});

describe('the client of a request', () => {
  it.each([
    [{ originator: 'codex_exec' }, true],
    [{ originator: 'codex_cli_rs' }, true],
    [{ originator: 'Codex Desktop' }, true],
    [{ originator: 'my_codex' }, false],
    [{ originator: '' }, false],
    [{}, false],
    [{ 'user-agent': 'codex_exec/0.169.0' }, false],
  ])('that sends %j is Codex: %s', (headers, codex) => {
    expect(clientOf(headers)).toEqual({ codex });
  });
});
