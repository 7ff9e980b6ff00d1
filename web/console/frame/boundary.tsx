import { Alert, Button, Stack, Text } from '@mantine/core';
import { Component, type ReactNode } from 'react';

interface Props {
  children: ReactNode;
}

/** A page that fails leaves the frame as it is: the door switch must always be there. */
export class Boundary extends Component<Props, { message: string | null }> {
  override state = { message: null };

  static getDerivedStateFromError(error: unknown): { message: string } {
    return { message: error instanceof Error ? error.message : String(error) };
  }

  override render(): ReactNode {
    if (this.state.message === null) return this.props.children;
    return (
      <Alert color="red" title="This page failed" role="alert">
        <Stack align="start" gap="sm">
          <Text size="sm">{this.state.message}. A newer version of the console may be there: load the page again.</Text>
          <Button variant="default" onClick={() => location.reload()}>
            Load again
          </Button>
        </Stack>
      </Alert>
    );
  }
}
