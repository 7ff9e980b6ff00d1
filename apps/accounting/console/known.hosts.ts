import type { DaypassConfig } from '#libs/config/config.js';
import { AdminError } from '../domain/admin.error.js';

const OF_THIS_MACHINE = ['localhost', '127.0.0.1', '[::1]'];

/**
 * The names under which browsers may reach the console. A page of a stranger whose name points here (DNS rebinding)
 * has another name, and gets nothing.
 */
export class KnownHosts {
  private readonly names: ReadonlySet<string>;

  constructor({ console: { hosts } }: Pick<DaypassConfig, 'console'>) {
    this.names = new Set([...OF_THIS_MACHINE, ...hosts]);
  }

  /** `host`: as the header has it, with or without a port. */
  has(host: string | undefined): boolean {
    return this.names.has(nameOf(host));
  }

  /** @throws AdminError `unknown_host` */
  assert(host: string | undefined): void {
    if (this.has(host)) return;
    throw new AdminError(
      'unknown_host',
      `The console does not answer under the name '${nameOf(host).slice(0, 100)}'. Open it as http://localhost, or add the name to DAYPASS_CONSOLE_HOSTS and restart accounting.`,
    );
  }
}

function nameOf(host = ''): string {
  return host.toLowerCase().replace(/:\d+$/, '');
}
