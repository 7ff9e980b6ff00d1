/** Drawn on a field of 24 × 24. */
const PATHS = {
  overview: 'M4 13h6V4H4zM14 20h6v-9h-6zM4 20h6v-3H4zM14 7h6V4h-6z',
  campaign: 'M4 10v4h3l7 4V6l-7 4zM18 9.5a4 4 0 0 1 0 5',
  key: 'M15 9a4 4 0 1 1-4 4m0 0-7 7m3-3 2 2M15 9h.01',
  review: 'M12 3 5 6v6c0 4 3 7.500 7 9 4-1.500 7-5 7-9V6zM9.500 12l2 2 3.500-4',
  visitors:
    'M9 11a3.500 3.500 0 1 0 0-7 3.500 3.500 0 0 0 0 7zM3 20c0-3.500 2.500-6 6-6s6 2.500 6 6M16 5a3 3 0 0 1 0 6M18 15c2 .800 3 2.700 3 5',
  calls: 'M4 7h12m0 0-3-3m3 3-3 3M20 17H8m0 0 3-3m-3 3 3 3',
  acts: 'M7 4h10v16l-2.500-2-2.500 2-2.500-2L7 20zM10 9h4M10 13h4',
  lanes: 'M6 3v18M18 3v18M12 4v3M12 10.500v3M12 17v3',
  audit: 'M6 3h8l4 4v14H6zM14 3v4h4M9 14l2 2 4-4',
  settings:
    'M4 7h9M19 7h1M4 17h1M11 17h9M16 4.500a2.500 2.500 0 1 0 0 5 2.500 2.500 0 0 0 0-5zM8 14.500a2.500 2.500 0 1 0 0 5 2.500 2.500 0 0 0 0-5z',
  sun: 'M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8zM12 2v2M12 20v2M4.900 4.900l1.400 1.400M17.700 17.700l1.400 1.400M2 12h2M20 12h2M4.900 19.100l1.400-1.400M17.700 6.300l1.400-1.400',
  moon: 'M20 14.500A8 8 0 0 1 9.500 4a8 8 0 1 0 10.500 10.500z',
  menu: 'M4 6h16M4 12h16M4 18h16',
  ok: 'M5 12.500 10 17l9-10',
  warn: 'M12 4 2.500 20h19zM12 10v4M12 17h.01',
  pause: 'M9 5v14M15 5v14',
  stop: 'M6 6l12 12M18 6 6 18',
  clock: 'M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18zM12 7v5l3 2',
  copy: 'M9 9h11v11H9zM5 15H4V4h11v1',
  dot: 'M12 9a3 3 0 1 0 0 6 3 3 0 0 0 0-6z',
  door: 'M6 21V3h12v18M3 21h18M14.500 12h.01',
  user: 'M12 12a4 4 0 1 0 0-8 4 4 0 0 0 0 8zM5 20c0-3.500 3-6 7-6s7 2.500 7 6',
  search: 'M11 5a6 6 0 1 0 0 12 6 6 0 0 0 0-12zM16 16l4 4',
  plus: 'M12 5v14M5 12h14',
  print: 'M7 9V3h10v6M7 17H4v-6h16v6h-3M7 14h10v7H7z',
  download: 'M12 4v11m0 0-4-4m4 4 4-4M5 20h14',
  link: 'M10 14a4 4 0 0 0 6 0l3-3a4 4 0 0 0-6-6l-1 1M14 10a4 4 0 0 0-6 0l-3 3a4 4 0 0 0 6 6l1-1',
} as const;
export type IconName = keyof typeof PATHS;

/** For the eye only: a word always stands beside it, or names the button. */
export function Icon({ name, size = 18 }: { name: IconName; size?: number }) {
  return (
    <svg
      className="icon"
      width={size}
      height={size}
      viewBox="0 0 24 24"
      fill="none"
      stroke="currentColor"
      strokeWidth="1.800"
      strokeLinecap="round"
      strokeLinejoin="round"
      aria-hidden="true"
      focusable="false"
    >
      <path d={PATHS[name]} />
    </svg>
  );
}
