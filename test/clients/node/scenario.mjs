/** Runs one scenario, and prints what it returns or throws as a line of JSON, which test/clients/run.ts reads. */
export async function scenario(name, work) {
  const facts = await work().catch((error) => ({ error: String(error?.stack ?? error) }));
  process.stdout.write(`${JSON.stringify({ scenario: name, ...facts })}\n`);
}

/** What the visitor asks. Only the first question names the city, so the second one needs what the client kept. */
export const first = (city) => `How is the weather in ${city}?`;
export const second = 'And what will the weather be tomorrow?';
/** The upstream's answer to this has a phrase that moderation flags. */
export const flagged = 'Say what must not be said.';
/** What the tool of each client answers. */
export const WEATHER = 'sunny, 21 degrees';
