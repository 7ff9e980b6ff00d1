import { Button } from '@mantine/core';
import { useMutation } from '@tanstack/react-query';
import { notifications } from '@mantine/notifications';
import { useSearchParams } from 'wouter';
import type { Query } from '../api/client.ts';
import { saveCsv } from '../api/save-csv.ts';
import { Icon } from './icon.tsx';

/** Saves the list as it is filtered now. */
export function CsvButton({ path, names, fixed = {} }: { path: string; names: readonly string[]; fixed?: Query }) {
  const [params] = useSearchParams();
  const save = useMutation({
    mutationFn: () =>
      saveCsv(
        path,
        { ...fixed, ...Object.fromEntries(names.map((name) => [name, params.get(name) ?? undefined])) },
        `daypass-${path.slice(1)}.csv`,
      ),
    onSuccess: (isAll) =>
      isAll ||
      notifications.show({ color: 'orange', message: 'The file has the first 10,000 rows. Narrow the filters.' }),
    onError: (error) => notifications.show({ color: 'red', title: 'Nothing was saved', message: error.message }),
  });
  return (
    <Button
      variant="default"
      leftSection={<Icon name="download" size={16} />}
      loading={save.isPending}
      onClick={() => save.mutate()}
    >
      CSV
    </Button>
  );
}
