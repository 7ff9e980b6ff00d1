import './styles.ts';
import { MantineProvider } from '@mantine/core';
import { Notifications } from '@mantine/notifications';
import { QueryClient, QueryClientProvider } from '@tanstack/react-query';
import { setNonce } from 'get-nonce';
import { createRoot } from 'react-dom/client';
import { ApiFault } from './api/client.ts';
import { App } from './app.tsx';
import { schemes, theme, variables } from './theme.ts';

const nonce = document.querySelector<HTMLMetaElement>('meta[name="csp-nonce"]')?.content ?? '';
// Mantine's dialogs put a style element of another library into the page.
setNonce(nonce);

const client = new QueryClient({
  defaultOptions: {
    queries: {
      retry: (failures, error) => failures < 2 && error instanceof ApiFault && error.mayRetry,
      staleTime: 2_000,
      refetchOnWindowFocus: true,
    },
  },
});

createRoot(document.getElementById('app')!).render(
  <MantineProvider
    theme={theme}
    cssVariablesResolver={variables}
    colorSchemeManager={schemes}
    defaultColorScheme="auto"
    getStyleNonce={() => nonce}
  >
    <QueryClientProvider client={client}>
      <Notifications position="bottom-right" limit={4} />
      <App />
    </QueryClientProvider>
  </MantineProvider>,
);
