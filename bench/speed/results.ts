/** One load of one candidate. */
export interface Measured {
  done: number;
  perSecond: number;
  /** Of an answer, or of a stream's first chunk. */
  p50Ms: number;
  p99Ms: number;
  /** Between a stream's chunks. */
  gapP99Ms: number;
  /** CPU-ms a call, by process. */
  cpu: Record<string, number>;
  /** MB, by process. */
  memory: Record<string, number>;
  /** Steps of Redis a call. */
  scripts: number;
  commands: number;
}

type Pick = (measured: Measured) => number;

export const JUDGED = 'Daypass';
export const UNJUDGED = 'Daypass, unjudged';
export const RESPONSES = 'Daypass, responses';
/** The bench compares all others with this one. */
export const BESIDE = 'Portkey';
export const BARE = 'Fastify + undici';
export const UPSTREAM = 'upstream alone';

export const sum = (amounts: Record<string, number>): number =>
  Object.values(amounts).reduce((total, amount) => total + amount, 0);
export const cpuACall: Pick = ({ cpu }) => sum(cpu);

export function median(values: readonly number[]): number {
  if (values.length === 0) throw new Error('nothing was measured');
  const sorted = values.toSorted((a, b) => a - b);
  const upper = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1 ? sorted[upper]! : (sorted[upper - 1]! + sorted[upper]!) / 2;
}

/** Rounds of each workload and candidate, in order. A round's candidates were measured within the same half minute. */
export class Results {
  private readonly rounds = new Map<string, Map<string, Measured[]>>();

  add(workload: string, candidate: string, measured: Measured): void {
    const candidates = this.rounds.get(workload) ?? new Map<string, Measured[]>();
    this.rounds.set(workload, candidates);
    candidates.set(candidate, [...(candidates.get(candidate) ?? []), measured]);
  }

  workloads(): string[] {
    return [...this.rounds.keys()];
  }

  candidates(workload: string): string[] {
    return [...(this.rounds.get(workload)?.keys() ?? [])];
  }

  has(workload: string, candidate: string): boolean {
    return this.rounds.get(workload)?.has(candidate) ?? false;
  }

  /** The median of the rounds. */
  of(workload: string, candidate: string, pick: Pick): number {
    return median(this.all(workload, candidate).map(pick));
  }

  /** Medians of each process by itself. */
  byProcess(workload: string, candidate: string, pick: (measured: Measured) => Record<string, number>) {
    const rounds = this.all(workload, candidate).map(pick);
    return Object.fromEntries(
      Object.keys(rounds[0]!).map((process) => [process, median(rounds.map((round) => round[process]!))]),
    );
  }

  /** How many times another's it is: the median of the rounds' ratios, because the machine changes from round to round. */
  ratio(workload: string, candidate: string, other: string, pick: Pick): number {
    return this.compare(workload, candidate, other, pick, (one, beside) => one / beside);
  }

  /** How much more than another's it is, likewise. */
  more(workload: string, candidate: string, other: string, pick: Pick): number {
    return this.compare(workload, candidate, other, pick, (one, beside) => one - beside);
  }

  private compare(
    workload: string,
    candidate: string,
    other: string,
    pick: Pick,
    by: (one: number, beside: number) => number,
  ): number {
    const beside = this.all(workload, other);
    return median(this.all(workload, candidate).map((one, round) => by(pick(one), pick(beside[round]!))));
  }

  private all(workload: string, candidate: string): readonly Measured[] {
    const rounds = this.rounds.get(workload)?.get(candidate);
    if (!rounds) throw new Error(`${candidate} was not measured with ${workload}`);
    return rounds;
  }
}
