// Shows a person what goes on: a terminal gets one line that changes, a file a few lines.
const LINES_WITHOUT_TERMINAL = 4;
const REWRITE_MS = 200;

export class Progress {
  #out;
  #running = new Set();
  #timer;

  constructor(out = process.stdout) {
    this.#out = out;
  }

  /**
   * @param doing such as `Installing npm packages`
   * @param done such as `Installed 266 npm packages`; it adds the seconds
   * @param work the work to do
   * @param total the number of parts, and `count`: of those done, where somebody can count them
   */
  async step({ doing, done, work, total, count }) {
    const startedAt = Date.now();
    const step = { startedAt, text: () => this.#textOf(doing, startedAt, total, count?.()) };
    if (!this.#out.isTTY) this.#out.write(`${doing}${total ? ` (${total})` : ''} …\n`);
    const quarters = !this.#out.isTTY && total ? this.#printQuarters(doing, total, count) : undefined;
    this.#running.add(step);
    this.#rewrite();
    try {
      const result = await work();
      this.#end(step, `${done} in ${secondsSince(startedAt)} s.`);
      return result;
    } catch (error) {
      this.#end(step);
      throw error;
    } finally {
      clearInterval(quarters);
    }
  }

  #textOf(doing, startedAt, total, counted) {
    return total
      ? `${doing}: ${Math.min(counted, total)} of ${total}`
      : `${doing}: ${Math.round((Date.now() - startedAt) / 1_000)} s`;
  }

  #printQuarters(doing, total, count) {
    let printed = 0;
    return setInterval(() => {
      const counted = count();
      const quarter = Math.floor((LINES_WITHOUT_TERMINAL * counted) / total);
      // The last quarter has its own line at the end.
      if (quarter <= printed || quarter >= LINES_WITHOUT_TERMINAL) return;
      printed = quarter;
      this.#out.write(`${doing}: ${counted} of ${total}\n`);
    }, REWRITE_MS);
  }

  #end(step, line) {
    this.#running.delete(step);
    if (this.#out.isTTY) this.#out.write('\r\x1b[K');
    if (line) this.#out.write(`${line}\n`);
    this.#rewrite();
  }

  #rewrite() {
    if (!this.#out.isTTY) return;
    clearInterval(this.#timer);
    if (this.#running.size === 0) return;
    const write = () => {
      const text = [...this.#running].map((step) => step.text()).join('; ');
      this.#out.write(`\r\x1b[K${text.slice(0, (this.#out.columns || 80) - 1)}`);
    };
    write();
    this.#timer = setInterval(write, REWRITE_MS);
  }
}

function secondsSince(startedAt) {
  return ((Date.now() - startedAt) / 1_000).toFixed(1);
}
