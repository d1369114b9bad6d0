// @ts-check
// A grid of one proposed taxon: accept all but those that were clicked.
import { onKey, seen } from "./keys.js";
import { labelGrid } from "./labels.js";
import { remember } from "./recent.js";
import { Selection } from "./selection.js";
import { tileOf } from "./tiles.js";
import { toast } from "./toast.js";

const PAGE = 120;
const el = (id) => /** @type {HTMLElement} */ (document.getElementById(id));

/** @param {import("./review_queue.js").Queue} queue */
export function reviewGrid(queue) {
  const grid = el("review-grid"), choice = /** @type {HTMLSelectElement} */ (el("taxa")), order = /** @type {HTMLSelectElement} */ (el("order"));
  const selection = new Selection(grid);
  /** @type {import("./review_queue.js").Taxon[]} */
  let taxa = [];
  let loading = 0;
  const taxon = () => taxa.find((each) => each.address === choice.value) ?? null;
  const ids = () => selection.tiles().map((tile) => tile.dataset.id);
  const wanted = () => ids().filter((id) => !selection.chosen.has(id));

  function tell() {
    const count = wanted().length, out = ids().length - count, name = taxon()?.taxon ?? "";
    el("told").textContent = !ids().length ? "" : count
      ? `Click or press space on those that are not ${name}. Enter accepts the other ${count}${out ? `; ${out} stay for another name` : ""}.`
      : `${out} left over: name them (/ or 1–9), u unsure, or n for the next page; what you leave stays in the queue.`;
    const accept = /** @type {HTMLButtonElement} */ (el("accept"));
    accept.firstChild && (accept.firstChild.textContent = count ? `Accept ${count} as ${name} ` : "Accept ");
    accept.disabled = !count;
  }

  function offer(found) {
    const before = choice.value;
    taxa = found.taxa;
    choice.replaceChildren(...taxa.map((each) => new Option(`${each.taxon} (${each.rank}) · ${(each.count ?? 0).toLocaleString("en")}`, each.address)));
    if (taxa.some((each) => each.address === before)) choice.value = before;
  }

  async function load({ more = false } = {}) {
    const mine = ++loading;
    let found = await queue.page({ count: PAGE, proposed: choice.value || undefined, order: order.value, more }).catch(() => null);
    if (!found || mine !== loading) return;
    offer(found);
    if (!found.specimens.length || found.specimens.some((each) => each.proposed?.address !== choice.value)) {
      if (!taxa.length) { show([], found); return; }
      found = await queue.page({ count: PAGE, proposed: choice.value, order: order.value, more }).catch(() => null);
      if (!found || mine !== loading) return;
      if (!found.specimens.length && more) return load();
      offer(found);
    }
    show(found.specimens, found);
  }

  function show(specimens, found) {
    selection.clear();
    grid.replaceChildren(...specimens.map(tile));
    el("many").hidden = !specimens.length;
    el("nothing").hidden = true;
    if (!specimens.length) queue.nothing(found.missing);
    tell();
    if (specimens.length) selection.focus(selection.tiles()[0]);
  }

  function tile(specimen) {
    const made = tileOf(specimen);
    if (specimen.proposed?.confidence != null) {
      const score = document.createElement("span");
      score.className = "score";
      score.textContent = `${(100 * specimen.proposed.confidence).toFixed(0)} %`;
      made.append(score);
    }
    return made;
  }

  async function accept() {
    const those = wanted(), name = taxon();
    if (!those.length || !name) return;
    const kept = new Map(selection.tiles().map((each) => [each.dataset.id, each]));
    const before = selection.tiles();
    selection.drop(those);
    tell();
    remember({ taxon: name.taxon, rank: name.rank, path: name.path });
    const posted = queue.say(those, { taxon: name.taxon, rank: name.rank });
    const rest = selection.tiles()[0];
    if (rest) selection.focus(rest);
    else load({ more: true });
    try {
      const done = await posted;
      toast(`${done.count.toLocaleString("en")} named ${done.taxon}`, { action: { label: "Undo", run: () => naming.undo() } });
      queue.tell(queue.left - (rest ? done.count : 0));
    } catch { // they come back; the reason is shown
      loading++;
      grid.replaceChildren(...before.map((each) => kept.get(each.dataset.id) ?? each));
      el("many").hidden = false;
      el("nothing").hidden = true;
      tell();
    }
  }

  const naming = {
    async undo() {
      const undone = await queue.undo().catch(() => undefined);
      if (undone === undefined) return;
      toast(undone ? `undone: ${undone.says}` : "there is nothing to undo");
      if (undone) document.dispatchEvent(new CustomEvent("undone", { detail: undone }));
    },
  };

  labelGrid(selection, {
    how: queue.how,
    after: (named) => {
      queue.tell(queue.left - named.length);
      selection.drop(named);
      queue.told(null);
      if (!selection.tiles().length) load({ more: true });
      else tell();
    },
  });
  document.addEventListener("undone", async (event) => {
    const there = new Set(ids());
    const back = (await queue.specimens((/** @type {CustomEvent} */ (event)).detail.ids ?? []).catch(() => [])).filter((each) => !there.has(each.id));
    grid.prepend(...back.map(tile));
    queue.tell(queue.left + back.length);
    el("many").hidden = !selection.tiles().length;
    if (back.length) el("nothing").hidden = true;
    queue.told(null);
    tell();
  });
  selection.addEventListener("selection", tell);
  choice.addEventListener("change", () => load());
  order.addEventListener("change", () => load());
  el("accept").addEventListener("click", seen(accept));
  el("next").addEventListener("click", () => load({ more: true }));
  onKey("Enter", "accept all but those that are clicked", (event) => (event.target instanceof Element && event.target.closest("button, a, summary, select") ? false : void accept()));
  onKey("n", "the next page; what is left stays in the queue", () => { load({ more: true }); });
  load();
}
