import type { ClaimOptions } from './claim.js';
import { ClaimError } from './errors.js';
import type { ClaimedKey, Remember } from './kept.js';

/** A policy of the page against inline styles does not hold for a sheet that a script makes. */
const STYLE = `
:host { display: inline-block; font: inherit; color-scheme: inherit }
:host([hidden]) { display: none }
button {
  font: inherit; font-weight: 600; line-height: 1.25; min-height: 44px; min-width: 44px; padding: 10px 20px;
  border: 1px solid transparent; border-radius: 8px; cursor: pointer;
  background: var(--daypass-background, light-dark(#1d4ed8, #93c5fd)); color: var(--daypass-color, light-dark(#fff, #0b1220))
}
button:focus-visible { outline: 3px solid light-dark(#0b1220, #fff); outline-offset: 2px }
button[aria-disabled=true] { cursor: progress; opacity: .8 }
p { margin: 8px 0 0; max-width: 34em; font-size: .9em; color: inherit }
p:empty { display: none }
@media (forced-colors: active) { button { border-color: ButtonText } }`;

type Claim = (link: string, options?: ClaimOptions) => Promise<ClaimedKey>;
type Find = (link: string, options?: ClaimOptions) => Promise<ClaimedKey | null>;

/**
 * `<daypass-button link="k7f3…" remember="session">Try it for free</daypass-button>`. It sends `daypass-key` (`detail`: the
 * key) and `daypass-error` (`detail`: the ClaimError); both bubble. A key that the page has already comes by itself.
 */
export function defineButton(claim: Claim, find: Find): void {
  if (customElements.get('daypass-button') !== undefined) return;

  class DaypassButton extends HTMLElement {
    private readonly button = document.createElement('button');
    private readonly said = document.createElement('p');

    constructor() {
      super();
      const root = this.attachShadow({ mode: 'open', delegatesFocus: true });
      const style = new CSSStyleSheet();
      style.replaceSync(STYLE);
      root.adoptedStyleSheets = [style];
      const label = document.createElement('slot');
      label.textContent = 'Get a free key';
      this.button.type = 'button';
      this.button.part.add('button');
      this.button.append(label);
      this.button.addEventListener('click', () => void this.press());
      this.said.part.add('message');
      this.said.setAttribute('role', 'status');
      root.append(this.button, this.said);
    }

    connectedCallback(): void {
      // Whoever listens is there when the page's own script has run.
      setTimeout(() => void this.run(() => find(this.link, this.options), false));
    }

    private get link(): string {
      return this.getAttribute('link') ?? '';
    }

    private get options(): ClaimOptions {
      const redirectUri = this.getAttribute('redirect-uri');
      return {
        remember: (this.getAttribute('remember') ?? 'none') as Remember,
        way: this.getAttribute('way') === 'redirect' ? 'redirect' : 'popup',
        ...(redirectUri === null ? {} : { redirectUri }),
      };
    }

    /** A second press opens the window again: the first may be closed, which nobody tells this page. */
    private async press(): Promise<void> {
      const onPopup = (): void => this.show('Go on in the window that opened. Press again to open it once more.');
      await this.run(() => claim(this.link, { ...this.options, onPopup }), true);
    }

    private async run(work: () => Promise<ClaimedKey | null>, isPressed: boolean): Promise<void> {
      if (isPressed) this.show('Getting your key…', true);
      try {
        const key = await work();
        if (key === null) return;
        this.show(key.expiresAt === null ? 'Your key is ready.' : `Your key is ready until ${timeOf(key.expiresAt)}.`);
        this.tell('daypass-key', key);
      } catch (error) {
        if (error instanceof ClaimError && error.code === 'aborted') return;
        this.show(error instanceof Error ? error.message : 'Something went wrong. Press the button again.');
        this.tell('daypass-error', error);
      }
    }

    private show(text: string, isBusy = false): void {
      this.button.setAttribute('aria-disabled', String(isBusy));
      this.said.textContent = text;
    }

    private tell(name: string, detail: unknown): void {
      this.dispatchEvent(new CustomEvent(name, { detail, bubbles: true, composed: true }));
    }
  }
  customElements.define('daypass-button', DaypassButton);
}

const timeOf = (iso: string): string =>
  new Date(iso).toLocaleString(undefined, { dateStyle: 'medium', timeStyle: 'short' });
