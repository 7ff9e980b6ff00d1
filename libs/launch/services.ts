import { join } from 'node:path';
import { SERVICES, type Service } from '#libs/config/config.js';
import { ServiceProcess } from './service-process.js';

export interface ServicesOptions {
  /** The settings of every service. Each adds its operations port, and accounting its database. */
  env: Record<string, string>;
  /** As a service's own option. */
  root?: string;
  databaseUrl: string;
  /** The settings of one service alone. */
  serviceEnv?: Partial<Record<Service, Record<string, string>>>;
  adminToken: string;
  opsPorts: Record<Service, number>;
  logDir: string;
  readyTimeoutMs: number;
  onTrouble?: (service: Service, text: string) => void;
  onGiveUp?: (service: Service, reason: string) => void;
}

const DEFAULT_SHUTDOWN_DEADLINE_MS = 25_000;

/**
 * Starts the four services together, and ends them in the order of a call's way, so that each can hand on its calls.
 */
export class Services {
  private readonly processes: Record<Service, ServiceProcess>;

  constructor(private readonly options: ServicesOptions) {
    const { env, root, databaseUrl, adminToken, opsPorts, logDir, onTrouble, onGiveUp } = options;
    const create = (name: Service): ServiceProcess =>
      new ServiceProcess({
        name,
        ...(root === undefined ? {} : { root }),
        // Only accounting knows Postgres and the operator's token.
        env: {
          ...env,
          DAYPASS_OPS_PORT: String(opsPorts[name]),
          ...(name === 'accounting' ? { DATABASE_URL: databaseUrl, DAYPASS_ADMIN_TOKEN: adminToken } : {}),
          ...options.serviceEnv?.[name],
        },
        opsUrl: this.opsUrl(name),
        logFile: join(logDir, `${name}.log`),
        shutdownDeadlineMs: Number(env.DAYPASS_SHUTDOWN_DEADLINE_MS ?? DEFAULT_SHUTDOWN_DEADLINE_MS),
        onTrouble: (text) => onTrouble?.(name, text),
        onGiveUp: (reason) => onGiveUp?.(name, reason),
      });
    this.processes = {
      ingress: create('ingress'),
      moderation: create('moderation'),
      forwarding: create('forwarding'),
      accounting: create('accounting'),
    };
  }

  get(name: Service): ServiceProcess {
    return this.processes[name];
  }

  opsUrl(name: Service): string {
    return `http://127.0.0.1:${this.options.opsPorts[name]}`;
  }

  /** @throws when one of them is not ready in time */
  async start(): Promise<void> {
    for (const name of SERVICES) this.processes[name].start();
    await Promise.all(SERVICES.map((name) => this.processes[name].whenReady(this.options.readyTimeoutMs)));
  }

  async stop(): Promise<void> {
    for (const name of SERVICES) await this.processes[name].stop();
  }

  killAll(): void {
    for (const name of SERVICES) this.processes[name].abandon();
  }
}
