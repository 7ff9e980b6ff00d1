import { Button, PasswordInput, Stack, Text, TextInput, Title } from '@mantine/core';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { useEffect, useState } from 'react';
import { useLocation } from 'wouter';
import { openSession } from '../api/client.ts';
import { FaultNote } from '../kit/fault-note.tsx';

const NAME_KEPT = 'daypass-name';

/** The code of a one-time link. It leaves the address bar and the history at once. */
const linkCode = readLinkCode();
function readLinkCode(): string | null {
  const code = new URLSearchParams(location.hash.slice(1)).get('code');
  if (code !== null) history.replaceState(history.state, '', location.pathname + location.search);
  return code;
}

function keptName(): string {
  try {
    return localStorage.getItem(NAME_KEPT) ?? '';
  } catch {
    return '';
  }
}

export function LoginPage() {
  const client = useQueryClient();
  const [location, navigate] = useLocation();
  const [code, setCode] = useState(linkCode);
  const [token, setToken] = useState('');
  const [name, setName] = useState(keptName);
  useEffect(() => {
    document.title = 'Sign in · Daypass';
  }, []);
  const signIn = useMutation({
    mutationFn: () => openSession({ ...(code === null ? { token: token.trim() } : { code }), name: name.trim() }),
    onSuccess: async () => {
      try {
        localStorage.setItem(NAME_KEPT, name.trim());
      } catch {
        // Without storage the name is typed again next time.
      }
      setToken('');
      if (location === '/login') navigate('/', { replace: true });
      await client.resetQueries();
    },
    // A link signs in once: after it the token is asked for.
    onError: () => setCode(null),
  });
  return (
    <main className="alone">
      <form
        className="login"
        onSubmit={(event) => {
          event.preventDefault();
          signIn.mutate();
        }}
      >
        <Stack>
          <div>
            <Title order={1} size="h2">
              Daypass console
            </Title>
            <Text className="dimmed" size="sm">
              For operators. Visitors open their claim link instead.
            </Text>
          </div>
          <TextInput
            label="Your name"
            description="It stands on record beside what you do."
            value={name}
            onChange={(event) => setName(event.currentTarget.value)}
            autoComplete="name"
            maxLength={100}
            required
            data-autofocus
          />
          {code === null ? (
            <PasswordInput
              label="Admin token"
              description="DAYPASS_ADMIN_TOKEN; npm start keeps it in .daypass/admin-token."
              value={token}
              onChange={(event) => setToken(event.currentTarget.value)}
              autoComplete="current-password"
              required
            />
          ) : (
            <Text size="sm">You opened a one-time link, so that no token is needed.</Text>
          )}
          <FaultNote error={signIn.error} />
          <Button type="submit" size="md" loading={signIn.isPending}>
            Sign in
          </Button>
        </Stack>
      </form>
    </main>
  );
}
