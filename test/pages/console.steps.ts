import type { Locator, Page } from 'playwright-core';

export const button = (page: Page, name: string): Locator => page.getByRole('button', { name, exact: true });
export const press = (page: Page, name: string): Promise<void> => button(page, name).click();

export async function toStep(page: Page, step: number): Promise<void> {
  await page.fill('input[data-autofocus]', 'Acme Agents');
  for (let done = 0; done < step; done += 1) await press(page, 'Next');
}

export async function openRevoke(page: Page): Promise<void> {
  await press(page, 'More');
  await page.click('text=Revoke all keys');
}

export async function makeCodes(page: Page, count: string): Promise<void> {
  await page.getByLabel('How many').fill(count);
  await press(page, `Make ${count} codes`);
  await page.waitForSelector(`text=${count} codes are ready`);
}

/** Runs both proofs of the audit page. */
export async function prove(page: Page): Promise<void> {
  for (const name of ['The books', 'The record']) {
    const card = page.getByRole('region', { name });
    await card.getByRole('button', { name: 'Run the proof' }).click();
    await card.getByText(/took \d+\.\d s/).waitFor();
  }
}
