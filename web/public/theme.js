// Before the page is painted: the scheme that this device keeps, or the system's.
(() => {
  let kept = null;
  try {
    kept = localStorage.getItem('daypass-theme');
  } catch {
    // Storage is closed to this page.
  }
  const dark = kept === 'dark' || (kept !== 'light' && matchMedia('(prefers-color-scheme: dark)').matches);
  document.documentElement.dataset.theme = dark ? 'dark' : 'light';
  document.documentElement.dataset.mantineColorScheme = dark ? 'dark' : 'light';
})();

// A telephone that changes its network loses what it was loading, and would show nothing at all.
addEventListener(
  'error',
  ({ target }) => {
    if (target instanceof HTMLScriptElement)
      document.getElementById('app').textContent = 'A part of this page did not arrive. Reload the page.';
  },
  true,
);
