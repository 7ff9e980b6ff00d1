import { randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** A small file in the data folder that only its owner can read. */
export class PrivateFile {
  readonly path: string;

  constructor(
    private readonly dataDir: string,
    name: string,
  ) {
    this.path = join(dataDir, name);
  }

  read(): string | undefined {
    try {
      return readFileSync(this.path, 'utf8').trim() || undefined;
    } catch {
      return undefined;
    }
  }

  write(text: string): void {
    mkdirSync(this.dataDir, { recursive: true, mode: 0o700 });
    writeFileSync(this.path, `${text}\n`, { mode: 0o600 });
  }
}

export interface Secrets {
  secret: string;
  adminToken: string;
  postgresPassword: string;
  /** Of the Postgres role that reads the views for auditors. */
  auditorPassword: string;
  /** Undefined where the environment has the token. */
  adminTokenFile: string | undefined;
  /** Undefined where the environment has the password. */
  auditorPasswordFile: string | undefined;
}

/** The secrets of this data folder: the environment's, else those of an earlier start, else new ones. */
export function keepSecrets(dataDir: string, env: NodeJS.ProcessEnv): Secrets {
  const adminToken = new PrivateFile(dataDir, 'admin-token');
  const auditorPassword = new PrivateFile(dataDir, 'auditor-password');
  return {
    secret: env.DAYPASS_SECRET || kept(new PrivateFile(dataDir, 'secret')),
    adminToken: env.DAYPASS_ADMIN_TOKEN || kept(adminToken),
    postgresPassword: kept(new PrivateFile(dataDir, 'postgres-password')),
    auditorPassword: env.DAYPASS_AUDITOR_PASSWORD || kept(auditorPassword),
    adminTokenFile: env.DAYPASS_ADMIN_TOKEN ? undefined : adminToken.path,
    auditorPasswordFile: env.DAYPASS_AUDITOR_PASSWORD ? undefined : auditorPassword.path,
  };
}

function kept(file: PrivateFile): string {
  const existing = file.read();
  if (existing) return existing;
  const made = randomBytes(36).toString('base64url');
  file.write(made);
  return made;
}
