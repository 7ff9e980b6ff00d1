export default async function tearDown() {
  const keeper = globalThis.keeper;
  globalThis.keeper = undefined;
  await (await keeper)?.stop();
}
