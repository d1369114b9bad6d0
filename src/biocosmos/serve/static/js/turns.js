// @ts-check
// Acts go to the server one after another, in the order in which they were made: an undo never overtakes what it is to undo.
// Those that still wait when the page is left go at once: who has seen a name accepted may close the tab.

/** @type {Promise<unknown>} */
let last = Promise.resolve();
/** @type {{start: () => Promise<unknown>, alone: boolean}[]} */
let waiting = [];

/**
 * Run when every act before is answered, however. alone: never before those are answered, as of an undo.
 * @template T @param {() => Promise<T>} act @param {{alone?: boolean}} how @returns {Promise<T>}
 */
export function inTurn(act, { alone = false } = {}) {
  /** @type {Promise<T> | null} */
  let begun = null;
  const entry = { alone, start: () => (begun ??= act()) };
  const run = () => {
    waiting = waiting.filter((each) => each !== entry);
    return entry.start();
  };
  waiting.push(entry);
  const mine = last.then(run, run);
  last = mine.catch(() => null);
  return mine;
}

/** When every act that was made until now is answered. */
export const settled = () => last;

addEventListener("beforeunload", (event) => { if (waiting.some((each) => each.alone)) event.preventDefault(); });
addEventListener("pagehide", () => {
  const until = waiting.findIndex((each) => each.alone);
  for (const each of until < 0 ? waiting : waiting.slice(0, until)) each.start().catch(() => null);
});
