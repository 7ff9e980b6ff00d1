import type { DaypassConfig } from '#libs/config/config.js';

type Addresses = Pick<DaypassConfig, 'publicUrl' | 'networkUrl'>;

/** Where visitors find claim pages, without a slash at its end. */
export const visitorsUrl = ({ publicUrl, networkUrl, visitors }: Addresses & Pick<DaypassConfig, 'visitors'>): string =>
  publicUrl ?? networkUrl ?? `http://localhost:${visitors.port}`;

/** Where claim links work without DAYPASS_PUBLIC_URL. null: everywhere, because the operator set it. */
export const narrowReachOf = ({ publicUrl, networkUrl }: Addresses): string | null => {
  if (publicUrl !== undefined) return null;
  return networkUrl === undefined ? 'on this machine only' : 'in this network only';
};
