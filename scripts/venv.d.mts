export interface WantedVenv {
  /** Folders and files with absolute paths. */
  venv: string;
  requirements: string;
}

type Run = (command: [string, ...string[]], env: NodeJS.ProcessEnv) => Promise<void>;

export function hasVenv(wanted: WantedVenv): boolean;
export function installVenv(wanted: WantedVenv, run: Run): Promise<void>;
