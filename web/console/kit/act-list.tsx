import type { ActView } from '#libs/contracts/admin/safety.js';
import { Link } from 'wouter';
import type { Column } from './rows.tsx';
import { When } from './when.tsx';

/** Where the page of a subject is; null: it has none. */
export function subjectHref(subject: string): string | null {
  if (subject.startsWith('key_')) return `/keys/${subject}`;
  if (subject.startsWith('vis_')) return `/visitors/${subject}`;
  if (subject.startsWith('req_')) return `/calls/${subject}`;
  return null;
}

const ACTORS: Readonly<Record<string, string>> = { holder: 'the holder of the key' };

export const ACT_COLUMNS: readonly Column<ActView>[] = [
  { title: 'Time', cell: ({ at }) => <When at={at} /> },
  { title: 'Act', cell: ({ act }) => act },
  { title: 'About', cell: ({ subject }) => <Subject of={subject} /> },
  {
    title: 'Who',
    cell: ({ actor }) => (actor === null ? <span className="dimmed">nobody said</span> : (ACTORS[actor] ?? actor)),
  },
  { title: 'What and why', cell: ({ note }) => note ?? <span className="dimmed">–</span> },
];

function Subject({ of }: { of: string }) {
  const href = subjectHref(of);
  return href === null ? <code>{of}</code> : <Link href={href}>{of}</Link>;
}
