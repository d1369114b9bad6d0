// @ts-check
// A queue of review as the browser holds it: pages of specimens that come, acts that go, one after another.
import { getJSON, postJSON } from "./api.js";
import { toast } from "./toast.js";
import { inTurn, settled } from "./turns.js";

/**
 * @typedef {{taxon: string, rank: string|null, path: string, address: string, confidence?: number|null, by?: string, count?: number}} Taxon
 * @typedef {{id: string, name: string|null, state: string, hash?: string, score: number|null, proposed: Taxon|null, names: Taxon[]}} Specimen
 */

export class Queue {
  /** @param {HTMLElement} root */
  constructor(root) {
    this.kind = root.dataset.kind ?? "unsure";
    this.query = root.dataset.query ?? "";
    this.how = `review: ${this.kind}`;
    this.left = 0;
  }

  /** The address of something about this queue. */
  address(path, given = {}) {
    const all = new URLSearchParams({ kind: this.kind, ...given });
    return `${path}?${all}${this.query ? `&${this.query}` : ""}`;
  }

  /**
   * The next specimens: {specimens, taxa, left, missing}. more: none of those that were given before.
   * @param {{count?: number, proposed?: string, order?: string, more?: boolean}} asked
   */
  async page({ count = 60, proposed, order, more = false } = {}) {
    await settled(); // what was said has to be known first
    const given = { count: String(count), ...(proposed ? { proposed } : {}), ...(order ? { order } : {}), ...(more ? { more: "1" } : {}) };
    const found = await getJSON(this.address("/api/queue", given));
    this.tell(found.left);
    return found;
  }

  /** Given specimens as this queue shows them. @param {string[]} ids @returns {Promise<Specimen[]>} */
  async specimens(ids) {
    if (!ids.length) return [];
    const given = new URLSearchParams([["kind", this.kind], ...ids.slice(0, 60).map((id) => ["ids", id])]);
    return (await getJSON(`/api/queue/specimens?${given}`)).specimens;
  }

  /**
   * Post one act, behind those that were posted before. Rejects with the reason, which is shown, where it was refused.
   * @param {string[]} ids @param {{taxon: string|null, rank?: string|null, status?: string}} what
   */
  say(ids, { taxon, rank = null, status = "validated" }) {
    return inTurn(async () => {
      const done = await postJSON("/api/labels", { ids, taxon, rank, status, how: this.how });
      for (const each of done.refused) toast(`${each.id}: ${each.reason}`, { error: true });
      this.told(done.tally);
      return done;
    });
  }

  /** Take back the last act; what it was, or null. */
  undo() {
    return inTurn(async () => {
      const done = await postJSON("/api/undo", {});
      this.told(done.tally);
      return done.undone;
    }, { alone: true });
  }

  told(tally) {
    document.dispatchEvent(new CustomEvent("tally", { detail: tally }));
  }

  /** Show how many specimens are left. */
  tell(left) {
    this.left = Math.max(0, left);
    const place = document.getElementById("left");
    if (place) place.textContent = `${this.left.toLocaleString("en")} left`;
  }

  /** Say that there is nothing, and what comes next. */
  nothing(missing) {
    const box = /** @type {HTMLElement} */ (document.getElementById("nothing"));
    const link = /** @type {HTMLAnchorElement} */ (document.getElementById("nothing-next"));
    const says = missing?.says ?? (this.query ? "Nothing of this view is left in this queue." : "Nothing is left in this queue.");
    /** @type {HTMLElement} */ (document.getElementById("nothing-says")).textContent = says;
    link.href = missing?.href ?? (this.query ? `/review?kind=${encodeURIComponent(this.kind)}` : "/explore");
    link.textContent = missing?.link ?? (this.query ? "Look at all specimens" : "Explore");
    box.hidden = false;
  }
}

/** Whether a key belongs to the control that has the focus (Enter and space press a button). */
export const pressed = (event) => event.target instanceof Element && event.target.closest("button, a, summary, select") !== null;
