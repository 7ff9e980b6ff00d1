import { Button, Stack, Text, Title } from '@mantine/core';
import { useQueryClient } from '@tanstack/react-query';
import { Suspense, useEffect } from 'react';
import { Link, Redirect, Route, Router, Switch, type AroundNavHandler } from 'wouter';
import { whenSignedOut } from './api/client.ts';
import { useSession } from './api/session.ts';
import { Boundary } from './frame/boundary.tsx';
import { Frame } from './frame/frame.tsx';
import { mayLeave } from './frame/leaving.ts';
import { LoginPage } from './frame/login.page.tsx';
import { FaultNote } from './kit/fault-note.tsx';
import { PAGES, type PageRoute } from './routes.ts';

const aroundNav: AroundNavHandler = (navigate, to, options) => {
  if (mayLeave(to)) navigate(to, options);
};

export function App() {
  const session = useSession();
  const client = useQueryClient();
  useEffect(() => whenSignedOut(() => client.setQueryData(['session'], null)), [client]);
  if (session.isPending) return null;
  if (session.data === undefined) {
    return (
      <main className="alone">
        <FaultNote error={session.error} retry={() => void session.refetch()} />
      </main>
    );
  }
  return (
    <Router base="/console" aroundNav={aroundNav}>
      {session.data === null ? (
        <LoginPage />
      ) : (
        <Frame session={session.data}>
          <Boundary>
            <Suspense fallback={<p className="dimmed">Loading…</p>}>
              <Switch>
                <Route path="/login">
                  <Redirect to="/" replace />
                </Route>
                {PAGES.map((route) => (
                  <Route key={route.path} path={route.path}>
                    <Shown {...route} />
                  </Route>
                ))}
                <Route>
                  <Missing />
                </Route>
              </Switch>
            </Suspense>
          </Boundary>
        </Frame>
      )}
    </Router>
  );
}

function Shown({ title, page: Page }: PageRoute) {
  useEffect(() => {
    document.title = `${title} · Daypass`;
  }, [title]);
  return <Page />;
}

function Missing() {
  return (
    <Stack align="start">
      <Title order={1}>No such page</Title>
      <Text>The console has nothing at this address. It may be a mistyped link.</Text>
      <Button component={Link} href="/">
        Go to the overview
      </Button>
    </Stack>
  );
}
