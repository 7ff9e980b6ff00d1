import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort } from '#libs/launch/free-port.js';
import { SupervisedProcess } from '#libs/launch/supervised-process.js';

/** One line of a chart: its labels, and its values by Unix second. */
export interface Series {
  metric: Record<string, string>;
  values: [seconds: number, value: string][];
}

export interface TestPrometheus {
  /** Asks a query now. @throws with Prometheus' own error */
  query(expr: string): Promise<Series[]>;
  queryRange(expr: string, fromSeconds: number, toSeconds: number, stepSeconds: number): Promise<Series[]>;
  stop(): Promise<void>;
}

/**
 * Starts a Prometheus that scrapes some URLs of 127.0.0.1 each second. It ends with this process, however that ends.
 */
export async function startPrometheus(urls: Record<string, string>): Promise<TestPrometheus> {
  const folder = mkdtempSync(join(tmpdir(), 'daypass-prometheus-'));
  const port = await freePort();
  const jobs = Object.entries(urls).map(([name, url]) => ({
    job_name: `daypass-${name}`,
    static_configs: [{ targets: [new URL(url).host] }],
  }));
  writeFileSync(
    join(folder, 'prometheus.yml'),
    JSON.stringify({ global: { scrape_interval: '1s' }, scrape_configs: jobs }),
  );
  const process = await SupervisedProcess.start({
    name: 'prometheus',
    command: [
      'prometheus',
      `--config.file=${join(folder, 'prometheus.yml')}`,
      `--storage.tsdb.path=${join(folder, 'data')}`,
      `--web.listen-address=127.0.0.1:${port}`,
    ],
    readyText: 'Server is ready to receive web requests',
    readyTimeoutMs: 30_000,
    endSignal: 'TERM',
    endTimeoutMs: 10_000,
  });
  const ask = async (path: string, parameters: Record<string, string>): Promise<Series[]> => {
    const response = await fetch(
      `http://127.0.0.1:${port}/api/v1/${path}?${new URLSearchParams(parameters).toString()}`,
    );
    const answer = (await response.json()) as {
      status: string;
      error?: string;
      data?: { result: (Series & { value?: [number, string] })[] };
    };
    if (answer.status !== 'success') throw new Error(`${parameters.query}: ${answer.error}`);
    return answer.data!.result.map(({ metric, value, values }) => ({
      metric,
      values: values ?? (value ? [value] : []),
    }));
  };
  return {
    query: (query) => ask('query', { query }),
    queryRange: (query, from, to, step) =>
      ask('query_range', { query, start: String(from), end: String(to), step: String(step) }),
    stop: async () => {
      await process.stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
