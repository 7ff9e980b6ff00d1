import { ActionIcon, Drawer, Menu, TextInput, useMantineColorScheme } from '@mantine/core';
import { useQueryClient } from '@tanstack/react-query';
import { useEffect, useMemo, useRef, useState, type ReactNode } from 'react';
import { Link, useLocation } from 'wouter';
import { percentOf } from '../../shared/money.ts';
import { write } from '../api/client.ts';
import { useOverview, type Session } from '../api/session.ts';
import { showUsd } from '../kit/amounts.ts';
import { Bar } from '../kit/bar.tsx';
import { Icon } from '../kit/icon.tsx';
import { stream, useBeat, useLiveState, useStream } from '../live/stream.ts';
import { PAGES } from '../routes.ts';
import { DoorSwitch } from './door-switch.tsx';
import { ShortcutHelp, useShortcutHelp, useShortcuts } from './shortcuts.tsx';

const MENU = PAGES.flatMap(({ path, title, menu }) => (menu ? [{ title, ...menu, path: menu.href ?? path }] : []));

export function Frame({ session, children }: { session: Session; children: ReactNode }) {
  const client = useQueryClient();
  const [isMenuOpen, setMenuOpen] = useState(false);
  const [isHelpOpen, setHelpOpen] = useShortcutHelp();
  const [, navigate] = useLocation();
  const search = useRef<HTMLInputElement>(null);
  const main = useRef<HTMLElement>(null);
  useEffect(() => stream.start(() => void client.invalidateQueries()), [client]);
  useStream('progress', () => void client.invalidateQueries({ queryKey: ['campaign'] }));
  const shortcuts = useMemo(
    () => [
      ...MENU.map(({ path, title, keys }) => ({ keys, text: title, act: () => navigate(path) })),
      { keys: '/', text: 'Find a key', act: () => search.current?.focus() },
      { keys: '?', text: 'This list', act: () => setHelpOpen(true) },
    ],
    [navigate, setHelpOpen],
  );
  useShortcuts(shortcuts);
  return (
    <div className="frame">
      <a
        className="skip"
        href="#main"
        onClick={(event) => {
          event.preventDefault();
          main.current?.focus();
        }}
      >
        Skip to the page
      </a>
      <header className="head">
        <ActionIcon
          variant="subtle"
          color="gray"
          size={44}
          className="narrow"
          aria-label="Menu"
          onClick={() => setMenuOpen(true)}
        >
          <Icon name="menu" size={22} />
        </ActionIcon>
        <Link href="/" className="brand">
          Daypass
        </Link>
        <DoorSwitch />
        <Today />
        <Live />
        <search className="find wide">
          <form
            onSubmit={(event) => {
              event.preventDefault();
              navigate(`/keys?${new URLSearchParams({ q: search.current!.value.trim() })}`);
            }}
          >
            <TextInput
              ref={search}
              type="search"
              aria-label="Find a key by its prefix or label"
              placeholder="Find a key  /"
              leftSection={<Icon name="search" size={16} />}
              maxLength={200}
            />
          </form>
        </search>
        <Account session={session} openHelp={() => setHelpOpen(true)} />
      </header>
      <nav className="side" aria-label="Console">
        <Links />
      </nav>
      <Drawer
        opened={isMenuOpen}
        onClose={() => setMenuOpen(false)}
        title="Menu"
        size="17rem"
        transitionProps={{ duration: 0 }}
      >
        <nav aria-label="Console">
          <Links onFollow={() => setMenuOpen(false)} />
        </nav>
      </Drawer>
      <main id="main" ref={main} tabIndex={-1}>
        {children}
      </main>
      <ShortcutHelp isOpen={isHelpOpen} close={() => setHelpOpen(false)} />
    </div>
  );
}

function Links({ onFollow }: { onFollow?: () => void }) {
  const [location] = useLocation();
  return (
    <ul>
      {MENU.map(({ path, title, icon }) => {
        const isHere = path === '/' ? location === '/' : location === path || location.startsWith(`${path}/`);
        return (
          <li key={path}>
            <Link href={path} aria-current={isHere ? 'page' : undefined} onClick={onFollow}>
              <Icon name={icon} />
              {title}
            </Link>
          </li>
        );
      })}
      <li>
        <a href="/admin/docs">
          <Icon name="link" />
          API
        </a>
      </li>
    </ul>
  );
}

/** What the operator paid since midnight UTC, of what a day may cost. */
function Today() {
  const { data } = useOverview();
  const beat = useBeat();
  if (data === undefined) return <span className="today" />;
  const spent = beat?.spent_today_usd ?? data.operator.spent_today_usd;
  const most = data.operator.budget_usd_per_day;
  const percent = most === null ? 0 : percentOf(spent, most);
  return (
    <span className="today" title="Spent since midnight UTC">
      <span>
        <span className="dimmed">Today</span> <b>{showUsd(spent)}</b>
        {most !== null && <span className="wide"> of {showUsd(most)}</span>}
      </span>
      {most !== null && <Bar percent={percent} tone={percent >= 95 ? 'bad' : percent >= 80 ? 'warn' : 'good'} />}
    </span>
  );
}

const LIVE = {
  live: ['Live', 'The figures are at most two seconds old'],
  old: ['Late', 'No news for more than two seconds'],
  off: ['Off', 'No live figures: Daypass does not answer; it tries again'],
} as const;

function Live() {
  const state = useLiveState();
  const [word, title] = LIVE[state];
  return (
    <span className="live" data-state={state} title={title}>
      <span aria-hidden="true" className="live-dot" />
      {word}
    </span>
  );
}

function Account({ session, openHelp }: { session: Session; openHelp: () => void }) {
  const { setColorScheme, colorScheme } = useMantineColorScheme();
  const client = useQueryClient();
  const leave = async (path: string): Promise<void> => {
    await write('DELETE', path);
    client.setQueryData(['session'], null);
    client.removeQueries({ predicate: ({ queryKey }) => queryKey[0] !== 'session' });
  };
  return (
    <Menu position="bottom-end" width={230} transitionProps={{ duration: 0 }}>
      <Menu.Target>
        <button type="button" className="account" aria-label={`${session.name}: theme, keyboard, sign out`}>
          <Icon name="user" />
          <span className="wide">{session.name}</span>
        </button>
      </Menu.Target>
      <Menu.Dropdown aria-label="Account">
        <Menu.Label>Signed in as {session.name}</Menu.Label>
        <Menu.Item
          leftSection={<Icon name="sun" />}
          onClick={() => setColorScheme('light')}
          aria-current={colorScheme === 'light'}
        >
          Light
        </Menu.Item>
        <Menu.Item
          leftSection={<Icon name="moon" />}
          onClick={() => setColorScheme('dark')}
          aria-current={colorScheme === 'dark'}
        >
          Dark
        </Menu.Item>
        <Menu.Item onClick={() => setColorScheme('auto')} aria-current={colorScheme === 'auto'}>
          As the system
        </Menu.Item>
        <Menu.Divider />
        <Menu.Item onClick={openHelp}>Keyboard</Menu.Item>
        <Menu.Divider />
        <Menu.Item onClick={() => void leave('/session')}>Sign out</Menu.Item>
        <Menu.Item onClick={() => void leave('/sessions')}>Sign out everywhere</Menu.Item>
      </Menu.Dropdown>
    </Menu>
  );
}
