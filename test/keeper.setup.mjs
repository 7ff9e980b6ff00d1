// jest's globalSetup: the keeper (libs/testing/keeper.ts) lives in jest's own process, and every worker finds it by this variable.
import { Keeper, KEEPER_VARIABLE } from '#libs/testing/keeper.js';

export default async function setUp() {
  // Each project of jest's calls this.
  globalThis.keeper ??= Keeper.start();
  process.env[KEEPER_VARIABLE] = (await globalThis.keeper).url;
}
