import { Text } from '@mantine/core';
import { write } from '../api/client.ts';
import { ActDialog } from './dialog.tsx';

/** The keys end first: a key that still makes calls would leave new texts behind. */
export async function eraseVisitor(visitor: string, note: string | undefined): Promise<void> {
  const body = note === undefined ? {} : { note };
  await write('POST', `/visitors/${visitor}/revoke`, body);
  await write('POST', `/visitors/${visitor}/erase`, body);
}

export function EraseDialog({ visitor, close, onDone }: { visitor: string; close: () => void; onDone?: () => void }) {
  return (
    <ActDialog
      isOpen
      close={close}
      title="Erase prompts and answers"
      act="Revoke and erase"
      danger
      note="optional"
      typed="erase"
      run={(note) => eraseVisitor(visitor, note)}
      done="The texts of the visitor are unreadable for ever."
      {...(onDone === undefined ? {} : { onDone })}
    >
      <Text size="sm">
        All keys of this visitor end for ever. Its prompts and answers become unreadable, also for you. That it was
        here, its scores and its bookings stay. Nobody can undo this.
      </Text>
    </ActDialog>
  );
}
