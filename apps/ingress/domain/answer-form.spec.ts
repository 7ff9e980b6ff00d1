import { describe, expect, it } from '@jest/globals';
import { wantsHtml, wantsPage } from './answer-form.js';

describe('the form of an answer', () => {
  it.each([
    ['text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8', true],
    ['application/json, text/html;q=0.5', true],
    ['TEXT/HTML', true],
    ['text/html;q=0', false],
    ['text/html; q=0.0', false],
    ['*/*', false],
    ['text/*', false],
    ['application/json', false],
    ['x-text/html', false],
    [undefined, false],
  ])('for accept %j is HTML: %j', (accept, expected) => {
    expect(wantsHtml({ accept })).toBe(expected);
  });

  it.each([
    ['curl/8.14.1', false],
    ['Wget/1.25', false],
    ['python-requests/2.32', false],
    ['Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)', true],
    ['Mozilla/5.0 (compatible; Discordbot/2.0; +https://discordapp.com)', true],
    ['facebookexternalhit/1.1', true],
    ['TelegramBot (like TwitterBot)', true],
    ['WhatsApp/2.24', true],
  ])('of a claim link for %s is the page: %j', (agent, expected) => {
    expect(wantsPage({ accept: '*/*', 'user-agent': agent })).toBe(expected);
  });
});
