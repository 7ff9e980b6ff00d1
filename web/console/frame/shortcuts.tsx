import { Kbd, Modal, Stack, Switch, Text } from '@mantine/core';
import { useEffect, useState, useSyncExternalStore } from 'react';

const KEPT = 'daypass-shortcuts';
const SECOND_KEY_WITHIN_MS = 1_200;

interface Shortcut {
  /** One key, or two with a space between them. */
  keys: string;
  text: string;
  act: () => void;
}

let areOn = readKept();
let shortcuts: readonly Shortcut[] = [];
let pending: { key: string; atMs: number } | undefined;
const watchers = new Set<() => void>();
const watch = (watcher: () => void): (() => void) => {
  watchers.add(watcher);
  return () => watchers.delete(watcher);
};
const changed = (): void => {
  for (const watcher of watchers) watcher();
};

function readKept(): boolean {
  try {
    return localStorage.getItem(KEPT) !== 'off';
  } catch {
    return true;
  }
}

function turn(on: boolean): void {
  areOn = on;
  try {
    localStorage.setItem(KEPT, on ? 'on' : 'off');
  } catch {
    // Without storage the choice lasts as long as the tab.
  }
  changed();
}

const isTyping = (target: EventTarget | null): boolean =>
  target instanceof HTMLElement && (target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName));

function onKey(event: KeyboardEvent): void {
  if (!areOn || event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
  // A dialog has the keyboard for itself.
  if (document.querySelector('[role="dialog"]')) return;
  const before = pending && Date.now() - pending.atMs < SECOND_KEY_WITHIN_MS ? `${pending.key} ` : '';
  pending = undefined;
  const pressed = before + event.key;
  const found = shortcuts.find(({ keys }) => keys === pressed);
  if (found) {
    event.preventDefault();
    found.act();
  } else if (shortcuts.some(({ keys }) => keys.startsWith(`${event.key} `))) {
    pending = { key: event.key, atMs: Date.now() };
  }
}

/** Keys that act while the component is on the page. `?` lists them, and the reader can switch them off (WCAG 2.1.4). */
export function useShortcuts(given: readonly Shortcut[]): void {
  useEffect(() => {
    shortcuts = [...shortcuts, ...given];
    changed();
    addEventListener('keydown', onKey);
    return () => {
      shortcuts = shortcuts.filter((one) => !given.includes(one));
      if (shortcuts.length === 0) removeEventListener('keydown', onKey);
      changed();
    };
  }, [given]);
}

export function ShortcutHelp({ isOpen, close }: { isOpen: boolean; close: () => void }) {
  const on = useSyncExternalStore(watch, () => areOn);
  const all = useSyncExternalStore(watch, () => shortcuts);
  return (
    <Modal opened={isOpen} onClose={close} title="Keyboard" transitionProps={{ duration: 0 }}>
      <Stack>
        <Switch
          label="Single-key shortcuts"
          description="Switch them off where they get in the way of other tools. Kept on this device."
          checked={on}
          onChange={(event) => turn(event.currentTarget.checked)}
        />
        <dl className="keys">
          {all.map(({ keys, text }) => (
            <div key={keys + text}>
              <dt>
                {keys.split(' ').map((key) => (
                  <Kbd key={key}>{key}</Kbd>
                ))}
              </dt>
              <dd>{text}</dd>
            </div>
          ))}
        </dl>
        {all.length === 0 && <Text size="sm">This page has none.</Text>}
      </Stack>
    </Modal>
  );
}

/** Whether the help is open. The frame has the button for it, too. */
export const useShortcutHelp = () => useState(false);
