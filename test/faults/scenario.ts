import { it } from '@jest/globals';

const LIMIT_MS = 240_000;
const quickOnly = process.env.DAYPASS_FAULTS === 'quick';

/**
 * One of the numbered faults. `run` does the harm, checks what must hold, and returns its figures, which are told in a line,
 * whether they are good or not. `quick`: part of `npm test`, too.
 */
export function scenario(
  number: number,
  title: string,
  { quick = false }: { quick?: boolean },
  run: () => Promise<string>,
): void {
  const test = quickOnly && !quick ? it.skip : it;
  test(
    `${number}. ${title}`,
    async () => {
      const begun = performance.now();
      const seconds = (): string => `${((performance.now() - begun) / 1_000).toFixed(0)} s`;
      try {
        const figures = await run();
        tell(number, title, `holds (${seconds()}): ${figures}`);
      } catch (error) {
        tell(number, title, `FAILS (${seconds()}): ${error instanceof Error ? error.message : String(error)}`);
        throw error;
      }
    },
    LIMIT_MS,
  );
}

function tell(number: number, title: string, figures: string): void {
  process.stderr.write(`${String(number).padStart(2)}  ${title.padEnd(58)}  ${figures}\n`);
}
