// @ts-check
// Acts go to the server one after another, in the order in which they were made: an undo never overtakes what it is to undo.

/** @type {Promise<unknown>} */
let last = Promise.resolve();

/** Run when every act before is answered, however. @template T @param {() => Promise<T>} act @returns {Promise<T>} */
export function inTurn(act) {
  const mine = last.then(act, act);
  last = mine.catch(() => null);
  return mine;
}

/** When every act that was made until now is answered. */
export const settled = () => last;
