import { Button, Menu, Title } from '@mantine/core';
import { useState } from 'react';
import { Link, useParams } from 'wouter';
import type { CampaignView } from '#libs/contracts/admin/answers.js';
import { useCampaign, useLinks } from '../api/campaign.ts';
import { FaultNote } from '../kit/fault-note.tsx';
import { Status } from '../kit/status.tsx';
import { CloseDialog, PauseDialog, RevokeDialog, TopUpDialog } from './campaign/acts.tsx';
import { ClaimsTab } from './campaign/claims.tab.tsx';
import { KeysTab } from './campaign/keys.tab.tsx';
import { LinksTab } from './campaign/links.tab.tsx';
import { NowTab } from './campaign/now.tab.tsx';
import { PolicyTab } from './campaign/policy.tab.tsx';
import { SettingsTab } from './campaign/settings.tab.tsx';
import { WaitlistTab } from './campaign/waitlist.tab.tsx';

const TABS = {
  now: { label: 'Now', Tab: NowTab },
  keys: { label: 'Keys', Tab: KeysTab },
  links: { label: 'Links', Tab: LinksTab },
  claims: { label: 'Claims', Tab: ClaimsTab },
  waitlist: { label: 'Waitlist', Tab: WaitlistTab },
  policy: { label: 'Policy', Tab: PolicyTab },
  settings: { label: 'Settings', Tab: SettingsTab },
} as const;
type TabName = keyof typeof TABS;
const isTab = (name: string): name is TabName => Object.hasOwn(TABS, name);

export default function CampaignPage() {
  const { slug, tab = 'now' } = useParams<{ slug: string; tab?: string }>();
  const { data: campaign, error, refetch } = useCampaign(slug);
  const name = isTab(tab) ? tab : 'now';
  const { Tab } = TABS[name];
  return (
    <>
      <div className="page-head">
        <Title order={1}>{campaign?.name ?? slug}</Title>
        {campaign && <Status of={campaign.status} />}
        {campaign && <Acts campaign={campaign} />}
      </div>
      <nav className="tabs" aria-label="Campaign">
        {Object.entries(TABS).map(([key, { label }]) => (
          <Link
            key={key}
            href={`/campaigns/${slug}${key === 'now' ? '' : `/${key}`}`}
            aria-current={key === name ? 'page' : undefined}
          >
            {label}
          </Link>
        ))}
      </nav>
      <FaultNote error={error} retry={() => void refetch()} />
      {campaign && <Tab key={campaign.slug} campaign={campaign} />}
    </>
  );
}

type Act = 'top up' | 'pause' | 'close' | 'revoke';

function Acts({ campaign }: { campaign: CampaignView }) {
  const [act, setAct] = useState<Act | null>(null);
  const { data: links = [] } = useLinks(campaign.slug);
  const close = (): void => setAct(null);
  const isClosed = campaign.status === 'closed';
  const hasOpenLinks = links.some(({ status }) => status === 'open');
  const of = (name: Act) => ({ campaign, isOpen: act === name, close });
  return (
    <>
      <Button component={Link} href={`/campaigns/${campaign.slug}/hand-out`} disabled={isClosed}>
        Hand out
      </Button>
      <Button variant="default" onClick={() => setAct('top up')} disabled={isClosed}>
        Top up
      </Button>
      <Menu position="bottom-end" transitionProps={{ duration: 0 }}>
        <Menu.Target>
          <Button variant="default">More</Button>
        </Menu.Target>
        <Menu.Dropdown aria-label="More about the campaign">
          <Menu.Item onClick={() => setAct('pause')} disabled={links.length === 0 || isClosed}>
            {hasOpenLinks ? 'Pause all links' : 'Open all paused links'}
          </Menu.Item>
          <Menu.Item onClick={() => setAct('close')}>
            {isClosed ? 'Open the campaign again' : 'Close the campaign'}
          </Menu.Item>
          <Menu.Item color="red" onClick={() => setAct('revoke')}>
            Revoke all keys
          </Menu.Item>
        </Menu.Dropdown>
      </Menu>
      <TopUpDialog {...of('top up')} />
      <PauseDialog {...of('pause')} links={links} toStatus={hasOpenLinks ? 'paused' : 'open'} />
      <CloseDialog {...of('close')} />
      <RevokeDialog {...of('revoke')} />
    </>
  );
}
