// @ts-check
// The page of review: a queue, one by one or as a grid, and what everybody did at the side.
import { reviewGrid } from "./review_grid.js";
import { reviewOne } from "./review_one.js";
import { Queue } from "./review_queue.js";
import { side } from "./review_side.js";

const root = /** @type {HTMLElement} */ (document.getElementById("review"));
const queue = new Queue(root);
side(root, queue);
if (root.hasAttribute("data-may-name")) {
  if (root.dataset.mode === "grid") reviewGrid(queue);
  else reviewOne(queue);
}
