import { Link } from 'wouter';

/** Parts of a page, each with an address. The first is at the page's own. */
export function Tabs({
  name,
  base,
  tabs,
  current,
}: {
  name: string;
  base: string;
  tabs: readonly (readonly [string, string])[];
  current: string;
}) {
  return (
    <nav className="tabs" aria-label={name}>
      {tabs.map(([key, label], index) => (
        <Link
          key={key}
          href={index === 0 ? base : `${base}/${key}`}
          aria-current={key === current ? 'page' : undefined}
        >
          {label}
        </Link>
      ))}
    </nav>
  );
}
