import { useMutation, useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { write } from '../../api/client.ts';

/** What was decided last, in words, and how to take it back; null: nothing takes it back. */
export interface Decided {
  said: string;
  undo: (() => Promise<unknown>) | null;
  isUndone: boolean;
}

interface Wish {
  said: string;
  act: () => Promise<unknown>;
  undo?: () => Promise<unknown>;
}

/** What one call is read for. The queue itself stays as it is, so that the reader keeps the place. */
const QUEUES = new Set(['review-queue', 'around']);

/** Decisions are sent at once. The last one can be taken back, also from the next call. */
export function useDecisions() {
  const client = useQueryClient();
  const [last, setLast] = useState<Decided | null>(null);
  // Nobody waits for it: Undo works as soon as the decision stands.
  const refresh = (): void =>
    void client.invalidateQueries({ predicate: ({ queryKey }) => !QUEUES.has(String(queryKey[0])) });
  const decide = useMutation({
    mutationFn: ({ act }: Wish) => act(),
    onMutate: () => setLast(null),
    onSuccess: (_, { said, undo }) => {
      setLast({ said, undo: undo ?? null, isUndone: false });
      refresh();
    },
  });
  const undo = useMutation({
    mutationFn: async () => last?.undo?.(),
    onSuccess: () => {
      setLast((before) => before && { ...before, undo: null, isUndone: true });
      refresh();
    },
  });
  const isBusy = decide.isPending || undo.isPending;
  return {
    last,
    isBusy,
    error: decide.error ?? undo.error,
    decide: (wish: Wish): void => {
      undo.reset();
      if (!isBusy) decide.mutate(wish);
    },
    undo: (): void => {
      if (!isBusy && last?.undo) undo.mutate();
    },
    forget: (): void => {
      setLast(null);
      decide.reset();
      undo.reset();
    },
  };
}
export type Decisions = ReturnType<typeof useDecisions>;

const noted = (note: string): object => (note.trim() === '' ? {} : { note: note.trim() });
export const actOnKey = (key: string, act: 'suspend' | 'reinstate', note: string): Promise<unknown> =>
  write('POST', `/keys/${key}/${act}`, noted(note));
export const actOnVisitor = (visitor: string, act: 'suspend' | 'reinstate', note: string): Promise<unknown> =>
  write('POST', `/visitors/${visitor}/${act}`, noted(note));
export const markSeen = (call: string, note: string): Promise<unknown> =>
  write('POST', `/requests/${call}/review`, noted(note));
