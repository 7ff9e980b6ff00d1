export type Copied = 'copied' | 'selected';

/**
 * Copies a text. Pages on `http://` by a LAN address have no clipboard API: there a selection and the old command do
 * it. Where neither works, the text that the page shows (`shown`) stays selected for the visitor's own Ctrl+C.
 */
export async function copyText(text: string, shown: HTMLElement): Promise<Copied> {
  try {
    // Undefined outside a secure context, which the types do not know.
    await (navigator.clipboard as Clipboard | undefined)!.writeText(text);
    return 'copied';
  } catch {
    return copyBySelection(text, shown) ? 'copied' : selectOf(shown);
  }
}

/** The copy stands beside what is shown: below an open dialog the rest of the page cannot be selected. */
function copyBySelection(text: string, shown: HTMLElement): boolean {
  const source = document.createElement('pre');
  source.className = 'copy-source';
  source.textContent = text;
  shown.after(source);
  try {
    select(source);
    return document.execCommand('copy');
  } catch {
    return false;
  } finally {
    source.remove();
    getSelection()?.removeAllRanges();
  }
}

function selectOf(shown: HTMLElement): Copied {
  select(shown);
  return 'selected';
}

function select(element: HTMLElement): void {
  const range = document.createRange();
  range.selectNodeContents(element);
  const selection = getSelection();
  selection?.removeAllRanges();
  selection?.addRange(range);
}
