/** How many times dearer a proof of work is at each step of the brake. */
export const EFFORTS = [1, 4, 16] as const;
export type Step = 0 | 1 | 2;

/** How dear the next proof of work is, by the claims of the campaign within an hour. */
export function stepOf(claims: number, claimsPerHour: number): Step {
  if (claims < claimsPerHour) return 0;
  return claims < 1.5 * claimsPerHour ? 1 : 2;
}

/** A page that was open before the brake became harder by one step may still claim. */
export const leastStepOf = (step: Step): Step => (step === 2 ? 1 : 0);

/** Beyond so many claims within an hour the campaign takes none. */
export const claimsMost = (claimsPerHour: number): number => 2 * claimsPerHour;
