import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import type { Browser, Page } from 'playwright-core';
import { launchChromium } from '../chromium.js';
import { FakeAdmin, NO_GATES } from './console.fake.js';
import { makeCodes, openRevoke, press, prove, toStep } from './console.steps.js';
import { look, lookAround } from './looking.js';

const XSS = '<img src=x onerror=alert(1)>';

let fake: FakeAdmin;
let origin: string;
let browser: Browser;

beforeAll(async () => {
  fake = new FakeAdmin();
  origin = await fake.start();
  browser = await launchChromium();
});
afterAll(async () => {
  await browser?.close();
  await fake?.stop();
});
beforeEach(() => fake.reset());

interface State {
  name: string;
  path: string;
  /** It is on the page when the state is reached. */
  sign: string;
  lead?: (page: Page) => Promise<unknown>;
  prepare?: () => void;
}

const STATES: readonly State[] = [
  { name: 'login', path: '/console', sign: 'text=Admin token', prepare: () => (fake.isSignedIn = false) },
  { name: 'overview', path: '/console', sign: 'text=Needs you (3)' },
  {
    name: 'overview-first',
    path: '/console',
    sign: 'text=Answers are made up',
    prepare: () => {
      fake.campaigns = [];
      fake.isRehearsed = true;
    },
  },
  {
    name: 'overview-fault',
    path: '/console',
    sign: 'text=req_fake_1',
    prepare: () => fake.refuse('GET /overview', 503, 'store_unavailable'),
  },
  { name: 'campaigns', path: '/console/campaigns', sign: 'text=Workshop in Kraków' },
  {
    name: 'campaigns-empty',
    path: '/console/campaigns',
    sign: 'text=No campaign yet',
    prepare: () => (fake.campaigns = []),
  },
  { name: 'wizard-name', path: '/console/campaigns/new', sign: 'text=What a visitor sees' },
  { name: 'wizard-budget', path: '/console/campaigns/new', sign: 'text=Total budget', lead: (page) => toStep(page, 1) },
  {
    name: 'wizard-visitors',
    path: '/console/campaigns/new',
    sign: 'text=Who gets a key',
    lead: (page) => toStep(page, 2),
  },
  { name: 'wizard-safety', path: '/console/campaigns/new', sign: 'text=How prompts', lead: (page) => toStep(page, 3) },
  {
    name: 'wizard-done',
    path: '/console/campaigns/new',
    sign: 'text=Not everything works',
    lead: async (page) => {
      await toStep(page, 3);
      await press(page, 'Launch');
      await press(page, 'Test this link');
    },
  },
  { name: 'campaign', path: '/console/campaigns/launch', sign: 'text=made a call' },
  { name: 'campaign-keys', path: '/console/campaigns/launch/keys', sign: `text=${XSS}` },
  { name: 'campaign-links', path: '/console/campaigns/launch/links', sign: 'text=One network a day' },
  { name: 'campaign-claims', path: '/console/campaigns/launch/claims', sign: 'text=with a code' },
  {
    name: 'campaign-waitlist',
    path: '/console/campaigns/launch/waitlist',
    sign: 'text=Those who wait longest',
    lead: (page) => press(page, 'Invite'),
  },
  {
    name: 'link-email',
    path: '/console/campaigns/launch/links',
    sign: 'text=Domains of addresses',
    lead: async (page) => {
      await press(page, 'New link');
      await page.getByLabel('Who gets a key').selectOption('email');
    },
    prepare: () => (fake.gates = { ...NO_GATES, github: true, email: true }),
  },
  { name: 'campaign-policy', path: '/console/campaigns/launch/policy', sign: 'text=would have blocked 14' },
  {
    name: 'campaign-policy-slow',
    path: '/console/campaigns/launch/policy',
    sign: 'text=Ask for fewer days',
    prepare: () =>
      fake.refuse('POST /moderation/replay', 400, 'invalid_request', 'days: too many. Ask for fewer days.'),
  },
  { name: 'lanes', path: '/console/lanes', sign: 'text=it refuses this account' },
  { name: 'audit', path: '/console/audit', sign: 'text=billed more' },
  { name: 'audit-proved', path: '/console/audit', sign: 'text=Keep this outside', lead: prove },
  {
    name: 'audit-broken',
    path: '/console/audit',
    sign: 'text=the row 17 was edited',
    lead: prove,
    prepare: () => {
      fake.operations.isBroken = true;
      fake.operations.hasAdminKey = false;
    },
  },
  {
    name: 'settings',
    path: '/console/settings',
    sign: 'text=What is missing (2)',
    lead: (page) => page.click('text=1 as Daypass has them'),
  },
  {
    name: 'settings-sign-out',
    path: '/console/settings',
    sign: 'text=Every open console asks',
    lead: (page) => press(page, 'Sign everybody out'),
  },
  { name: 'campaign-settings', path: '/console/campaigns/launch/settings', sign: 'text=Overbook' },
  { name: 'revoke', path: '/console/campaigns/launch', sign: 'text=Revoke 63 keys', lead: (page) => openRevoke(page) },
  { name: 'hand-out', path: '/console/campaigns/launch/hand-out', sign: 'text=seat 2' },
  {
    name: 'hand-out-made',
    path: '/console/campaigns/launch/hand-out',
    sign: 'text=12 codes are ready',
    lead: (page) => makeCodes(page, '12'),
  },
  {
    name: 'hand-out-keys',
    path: '/console/campaigns/launch/hand-out',
    sign: 'text=These are secrets',
    lead: (page) => page.check('text=Ready keys'),
  },
  {
    name: 'cards',
    path: '/console/campaigns/launch/hand-out',
    sign: '.sheet',
    lead: async (page) => {
      await makeCodes(page, '12');
      await page.click('text=Cards to print');
    },
  },
  {
    name: 'shortcuts',
    path: '/console',
    sign: 'text=Single-key shortcuts',
    lead: async (page) => {
      await page.waitForSelector('text=Needs you (3)');
      await page.keyboard.press('?');
    },
  },
];

describe('each page of the console', () => {
  it.each(STATES)(
    '$name is accessible in four looks, obeys its policy and asks nobody else',
    async ({ name, path, sign, lead, prepare }) => {
      prepare?.();
      const looked = await look(browser);
      await looked.page.goto(origin + path);
      await lead?.(looked.page);
      await looked.page.waitForSelector(sign);
      expect(await lookAround(looked, `console-${name}`)).toEqual([]);
      expect(looked.faults).toEqual([]);
      await looked.close();
    },
    60_000,
  );
});
