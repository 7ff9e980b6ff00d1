const works: (() => void)[] = [];
let done = 0;

/**
 * Does something at the end of this turn of the event loop, in the order of the calls. What one work adds comes in the
 * same turn: a batch that calls a script, and the script that writes to a socket, would otherwise wait a turn each.
 */
export function atEndOfTurn(work: () => void): void {
  if (works.push(work) === 1) setImmediate(doAll);
}

function doAll(): void {
  try {
    while (done < works.length) works[done++]!();
  } finally {
    // A work that fails keeps none of the others from its turn.
    works.splice(0, done);
    done = 0;
    if (works.length > 0) setImmediate(doAll);
  }
}
