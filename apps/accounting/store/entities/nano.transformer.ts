/** Nano-dollars are bigint on both sides; the driver carries them as decimal text. */
export const nanoTransformer = {
  to: (nano: bigint): string => nano.toString(),
  from: (text: string): bigint => BigInt(text),
};
