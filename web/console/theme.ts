import { createTheme, localStorageColorSchemeManager, type CSSVariablesResolver } from '@mantine/core';

/** `/theme.js` reads the same entry before the page is painted. */
export const schemes = localStorageColorSchemeManager({ key: 'daypass-theme' });

/** Mantine's own colours miss WCAG's contrast in several places; these reach it in both schemes. */
export const theme = createTheme({
  colors: {
    dark: [
      '#d3d7de',
      '#b9bec8',
      '#8f96a3',
      '#5d6470',
      '#3b414b',
      '#2c313a',
      '#20242b',
      '#16181d',
      '#111317',
      '#0c0e11',
    ],
  },
  primaryColor: 'indigo',
  primaryShade: { light: 8, dark: 8 },
  autoContrast: true,
  defaultRadius: 'md',
  cursorType: 'pointer',
  respectReducedMotion: true,
  fontFamily: 'ui-sans-serif, system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif',
  fontFamilyMonospace: 'ui-monospace, SFMono-Regular, Menlo, Consolas, monospace',
  headings: {
    fontWeight: '650',
    sizes: { h1: { fontSize: '1.6rem', lineHeight: '1.25' }, h2: { fontSize: '1.3rem', lineHeight: '1.3' } },
  },
  components: {
    // Else a dialog would have a second banner of the page.
    ModalHeader: { defaultProps: { role: 'presentation' } },
    DrawerHeader: { defaultProps: { role: 'presentation' } },
    Modal: { defaultProps: { closeButtonProps: { 'aria-label': 'Close' }, centered: true } },
    Drawer: { defaultProps: { closeButtonProps: { 'aria-label': 'Close' } } },
    // Its own colours on its own grounds are too pale.
    Alert: { styles: { title: { color: 'var(--mantine-color-text)' } } },
    Notification: { defaultProps: { closeButtonProps: { 'aria-label': 'Close' } } },
    PasswordInput: { defaultProps: { visibilityToggleButtonProps: { 'aria-label': 'Show the text' } } },
  },
});

export const variables: CSSVariablesResolver = () => ({
  variables: {},
  light: {
    '--mantine-color-dimmed': '#5a6169',
    '--mantine-color-error': '#b42318',
    '--mantine-color-placeholder': '#6b727a',
    '--mantine-color-anchor': '#3b4fc4',
    '--mantine-color-body': '#ffffff',
  },
  dark: {
    '--mantine-color-dimmed': '#a7adb5',
    '--mantine-color-error': '#ff9b93',
    '--mantine-color-placeholder': '#9aa1a9',
    '--mantine-color-anchor': '#a9b8ff',
    '--mantine-color-body': '#16181d',
  },
});
