export type Theme = 'light' | 'dark';

/** /theme.js reads it before the page is painted. */
const KEPT_AS = 'daypass-theme';

export const shownTheme = (): Theme => (document.documentElement.dataset.theme === 'dark' ? 'dark' : 'light');

/** Shows a scheme, and keeps it on this device. */
export function keepTheme(theme: Theme): void {
  show(theme);
  try {
    localStorage.setItem(KEPT_AS, theme);
  } catch {
    // Storage is closed to this page: the scheme holds until it is left.
  }
}

/** Follows the system while this device keeps no scheme of its own. */
export function followSystem(changed: (theme: Theme) => void): () => void {
  const system = matchMedia('(prefers-color-scheme: dark)');
  const follow = (): void => {
    if (isKept()) return;
    const theme = system.matches ? 'dark' : 'light';
    show(theme);
    changed(theme);
  };
  system.addEventListener('change', follow);
  return () => system.removeEventListener('change', follow);
}

function show(theme: Theme): void {
  document.documentElement.dataset.theme = theme;
  document.documentElement.dataset.mantineColorScheme = theme;
}

function isKept(): boolean {
  try {
    return localStorage.getItem(KEPT_AS) !== null;
  } catch {
    return false;
  }
}
