import { Alert, Button, Stack, Text } from '@mantine/core';
import { ApiFault } from '../api/client.ts';

/** What went wrong, with the id under which Daypass' log has it. */
export function FaultNote({ error, retry }: { error: unknown; retry?: () => void }) {
  if (error === null || error === undefined) return null;
  const fault = error instanceof ApiFault ? error : null;
  return (
    <Alert color="red" variant="light" title="That did not work" role="alert">
      <Stack align="start" gap="xs">
        <Text size="sm">{error instanceof Error ? error.message : 'An unknown fault. Load the page again.'}</Text>
        {fault?.requestId && (
          <Text size="xs">
            Request id <code>{fault.requestId}</code>
          </Text>
        )}
        {retry && (
          <Button variant="default" onClick={retry}>
            Retry
          </Button>
        )}
      </Stack>
    </Alert>
  );
}
