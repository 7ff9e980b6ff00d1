import { Button, Text } from '@mantine/core';
import { useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { write } from '../api/client.ts';
import { useOverview } from '../api/session.ts';
import { ActDialog } from '../kit/dialog.tsx';
import { Icon } from '../kit/icon.tsx';
import { useBeat, useStream } from '../live/stream.ts';

/** Stops all new calls and claims of all visitors at once, and lets them in again. */
export function DoorSwitch() {
  const [isOpen, setOpen] = useState(false);
  const client = useQueryClient();
  const { data } = useOverview();
  const beat = useBeat();
  useStream('door', () => void client.invalidateQueries({ queryKey: ['overview'] }));
  const state = beat?.door ?? data?.door.state;
  const isShut = state === 'shut';
  return (
    <>
      <Button
        variant={isShut ? 'filled' : 'default'}
        color={isShut ? 'red' : undefined}
        className="door"
        leftSection={<Icon name={isShut ? 'stop' : 'door'} size={16} />}
        onClick={() => setOpen(true)}
        disabled={state === undefined}
      >
        {isShut ? 'Door shut' : 'Door open'}
      </Button>
      <ActDialog
        isOpen={isOpen}
        close={() => setOpen(false)}
        title={isShut ? 'Open the door' : 'Shut the door'}
        act={isShut ? 'Open the door' : 'Shut the door'}
        danger={!isShut}
        note="required"
        run={(note) => write('PUT', '/door', { state: isShut ? 'open' : 'shut', note })}
        done={
          isShut
            ? 'The door is open: calls and claims come in.'
            : 'The door is shut: no new call and no claim comes in.'
        }
      >
        {isShut ? (
          <Text size="sm">
            Calls and claims come in again within a second.
            {data?.door.note && ` It was shut because: ${data.door.note}`}
          </Text>
        ) : (
          <Text size="sm">
            Within a second every new call and every claim is refused, with the answer that Daypass is paused. Running
            calls end as usual. Keys and budgets stay as they are.
          </Text>
        )}
      </ActDialog>
    </>
  );
}
