import { Button, Group, Modal, Stack, TextInput, Textarea } from '@mantine/core';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { useState, type ReactNode } from 'react';
import { notifications } from '@mantine/notifications';
import { flushSync } from 'react-dom';
import { FaultNote } from './fault-note.tsx';

const NOTE_MAX_CHARACTERS = 1_000;

interface Props {
  isOpen: boolean;
  close: () => void;
  title: string;
  /** On the button that acts. */
  act: string;
  danger?: boolean;
  /** A field for the reason; `required` needs one. */
  note?: 'optional' | 'required';
  /** The operator types this text before the button acts. */
  typed?: string;
  isReady?: boolean;
  run: (note: string | undefined) => Promise<unknown>;
  /** Shown when it is done. */
  done: string;
  onDone?: () => void;
  children?: ReactNode;
}

/** Says what will happen, acts once, and stays open with the reason where it did not work. */
export function ActDialog(props: Props) {
  return (
    <Modal opened={props.isOpen} onClose={props.close} title={props.title} transitionProps={{ duration: 0 }}>
      <Form {...props} />
    </Modal>
  );
}

function Form({ close, act, danger = false, note, typed, isReady = true, run, done, onDone, children }: Props) {
  const client = useQueryClient();
  const [reason, setReason] = useState('');
  const [repeated, setRepeated] = useState('');
  const mutation = useMutation({
    mutationFn: () => run(reason.trim() || undefined),
    onSuccess: async () => {
      // The dialog's own queries end before the page asks anew.
      flushSync(close);
      notifications.show({ message: done });
      onDone?.();
      await client.invalidateQueries();
    },
  });
  const mayAct =
    isReady && (note !== 'required' || reason.trim() !== '') && (typed === undefined || repeated === typed);
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        if (mayAct && !mutation.isPending) mutation.mutate();
      }}
    >
      <Stack>
        {children}
        {note && (
          <Textarea
            label={note === 'required' ? 'Why' : 'Why (optional)'}
            description="It goes on record, for people who read this later."
            value={reason}
            maxLength={NOTE_MAX_CHARACTERS}
            required={note === 'required'}
            onChange={(event) => setReason(event.currentTarget.value)}
            autosize={false}
            rows={2}
          />
        )}
        {typed !== undefined && (
          <TextInput
            label={
              <>
                Type <code>{typed}</code> to go on
              </>
            }
            value={repeated}
            autoComplete="off"
            spellCheck={false}
            onChange={(event) => setRepeated(event.currentTarget.value)}
          />
        )}
        <FaultNote error={mutation.error} />
        <Group justify="end">
          <Button variant="default" onClick={close}>
            Cancel
          </Button>
          <Button type="submit" color={danger ? 'red' : undefined} disabled={!mayAct} loading={mutation.isPending}>
            {act}
          </Button>
        </Group>
      </Stack>
    </form>
  );
}
