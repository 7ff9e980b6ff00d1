import { lazy, type ComponentType } from 'react';
import type { IconName } from './kit/icon.tsx';

export interface PageRoute {
  /** Of wouter, below /console. The first that matches is shown. */
  path: string;
  title: string;
  page: ComponentType;
  /** In the menu. `keys`: the shortcut, pressed one after the other. */
  menu?: { icon: IconName; keys: string; /** Where the path has a part that may be left out. */ href?: string };
}

/** Each page is a file of its own, which the browser loads when somebody opens it. */
export const PAGES: readonly PageRoute[] = [
  {
    path: '/',
    title: 'Overview',
    page: lazy(() => import('./pages/overview.page.tsx')),
    menu: { icon: 'overview', keys: 'g o' },
  },
  {
    path: '/campaigns',
    title: 'Campaigns',
    page: lazy(() => import('./pages/campaigns.page.tsx')),
    menu: { icon: 'campaign', keys: 'g c' },
  },
  { path: '/campaigns/new', title: 'Launch a campaign', page: lazy(() => import('./pages/wizard.page.tsx')) },
  {
    path: '/campaigns/:slug/hand-out/:view?',
    title: 'Hand out keys',
    page: lazy(() => import('./pages/hand-out.page.tsx')),
  },
  { path: '/campaigns/:slug/:tab?', title: 'Campaign', page: lazy(() => import('./pages/campaign.page.tsx')) },
  {
    path: '/review/:id?',
    title: 'Review',
    page: lazy(() => import('./pages/review.page.tsx')),
    menu: { icon: 'review', keys: 'g r', href: '/review' },
  },
  {
    path: '/keys',
    title: 'Keys',
    page: lazy(() => import('./pages/keys.page.tsx')),
    menu: { icon: 'key', keys: 'g k' },
  },
  { path: '/keys/:id/:tab?', title: 'Key', page: lazy(() => import('./pages/key.page.tsx')) },
  {
    path: '/visitors',
    title: 'Visitors',
    page: lazy(() => import('./pages/visitors.page.tsx')),
    menu: { icon: 'visitors', keys: 'g v' },
  },
  { path: '/visitors/:id/:tab?', title: 'Visitor', page: lazy(() => import('./pages/visitor.page.tsx')) },
  {
    path: '/calls',
    title: 'Calls',
    page: lazy(() => import('./pages/calls.page.tsx')),
    menu: { icon: 'calls', keys: 'g l' },
  },
  { path: '/calls/:id', title: 'Call', page: lazy(() => import('./pages/call.page.tsx')) },
  {
    path: '/acts',
    title: 'Acts',
    page: lazy(() => import('./pages/acts.page.tsx')),
    menu: { icon: 'acts', keys: 'g a' },
  },
  {
    path: '/lanes',
    title: 'Lanes',
    page: lazy(() => import('./pages/lanes.page.tsx')),
    menu: { icon: 'lanes', keys: 'g n' },
  },
  {
    path: '/audit',
    title: 'Audit',
    page: lazy(() => import('./pages/audit.page.tsx')),
    menu: { icon: 'audit', keys: 'g u' },
  },
  {
    path: '/settings',
    title: 'Settings',
    page: lazy(() => import('./pages/settings.page.tsx')),
    menu: { icon: 'settings', keys: 'g s' },
  },
];
