// @ts-check
// One specimen after another: its picture, what is proposed, and one key for every answer.
import { onKey } from "./keys.js";
import { recentButtons, recentKeys, remember } from "./recent.js";
import { pressed } from "./review_queue.js";
import { pickTaxon } from "./taxon_picker.js";
import { toast } from "./toast.js";

const AHEAD = 12; // specimens that are there before they are needed
const PICTURES = 3; // pictures that are fetched before they are needed
const el = (id) => /** @type {HTMLElement} */ (document.getElementById(id));
const full = (specimen) => `/image/full?${new URLSearchParams({ id: specimen.id, ...(specimen.hash ? { v: specimen.hash } : {}) })}`;
const rated = (number) => (number == null ? "" : `${(100 * number).toFixed(number > 0.995 || number < 0.1 ? 1 : 0)} %`);

/** @param {import("./review_queue.js").Queue} queue */
export function reviewOne(queue) {
  /** @type {import("./review_queue.js").Specimen[]} */
  const items = [];
  const verdicts = new Map(); // id -> what was said of it, in words
  let at = 0, fetching = null, ended = false;

  const here = () => items[at] ?? null;

  function show() {
    const one = here();
    el("one").hidden = !one;
    el("nothing").hidden = true;
    if (!one) { if (ended) queue.nothing(items.length ? null : missing); return; }
    const picture = /** @type {HTMLImageElement} */ (el("picture"));
    if (picture.dataset.id !== one.id) { picture.src = full(one); picture.dataset.id = one.id; }
    picture.alt = `specimen ${one.id}`;
    el("which").textContent = one.id;
    const page = `/specimen?${new URLSearchParams({ id: one.id })}`;
    /** @type {HTMLAnchorElement} */ (el("open")).href = page;
    /** @type {HTMLAnchorElement} */ (el("evidence")).href = `${page}#nearest`;
    const proposed = one.proposed;
    el("asks").textContent = proposed ? "Is it" : "What is it?";
    el("proposed").textContent = proposed?.taxon ?? "no name is proposed";
    el("proposed-path").textContent = proposed ? [proposed.rank, proposed.path].filter(Boolean).join(" · ") : "";
    el("sure").hidden = proposed?.confidence == null;
    if (proposed?.confidence != null) {
      el("sure-bar").style.width = `${100 * proposed.confidence}%`;
      el("sure-number").textContent = rated(proposed.confidence);
    }
    /** @type {HTMLButtonElement} */ (el("accept")).disabled = !proposed;
    el("names").replaceChildren(...one.names.map(nameItem));
    el("verdict").textContent = verdicts.get(one.id) ?? "";
    /** @type {HTMLButtonElement} */ (el("back")).disabled = at === 0;
    for (const next of items.slice(at + 1, at + 1 + PICTURES)) new Image().src = full(next);
  }

  function nameItem(taxon) {
    const item = document.createElement("li"), button = document.createElement("button"), by = document.createElement("span");
    button.type = "button";
    button.className = "quiet";
    button.title = [taxon.rank, taxon.path].filter(Boolean).join(" · ");
    button.append(taxon.taxon);
    by.className = "by";
    by.textContent = [taxon.by, rated(taxon.confidence)].filter(Boolean).join(" · ");
    button.append(by);
    button.addEventListener("click", () => say(taxon));
    item.append(button);
    return item;
  }

  let missing = null;
  async function fill() {
    if (ended || fetching || items.length - at > AHEAD) return;
    fetching = queue.page({ count: 40, more: items.length > 0 }).catch(() => null);
    const found = await fetching;
    fetching = null;
    if (!found) return;
    missing = found.missing;
    const known = new Set(items.map((each) => each.id));
    const fresh = found.specimens.filter((each) => !known.has(each.id));
    items.push(...fresh);
    ended = !fresh.length;
    show();
  }

  function step(by) {
    at = Math.min(Math.max(at + by, 0), items.length);
    show();
    fill();
  }

  async function say(taxon, status = "validated") {
    const one = here();
    if (!one) return;
    const words = status === "dubious" ? "unsure" : taxon.taxon;
    const before = verdicts.get(one.id);
    verdicts.set(one.id, words);
    if (taxon) remember({ taxon: taxon.taxon, rank: taxon.rank ?? null, path: taxon.path ?? "" });
    if (!before) queue.tell(queue.left - 1);
    const posted = queue.say([one.id], { taxon: taxon?.taxon ?? null, rank: taxon?.rank ?? null, status });
    step(1); // behind the post: what is fetched then knows of it
    try {
      const done = await posted;
      if (!done.act) throw new Error("refused");
      if (done.new) toast(`${done.taxon} is a new name, a ${done.rank}`);
    } catch { // it comes back; the reason is shown
      if (before) verdicts.set(one.id, before); else { verdicts.delete(one.id); queue.tell(queue.left + 1); }
      at = Math.max(items.indexOf(one), 0);
      show();
    }
  }

  async function other() {
    if (!here()) return;
    const taxon = await pickTaxon({ title: "What is it?" });
    if (taxon) say(taxon);
  }

  async function undo() {
    const undone = await queue.undo().catch(() => undefined);
    if (undone === undefined) return;
    if (!undone) { toast("there is nothing to undo"); return; }
    toast(`undone: ${undone.says}`);
    const ids = undone.ids ?? [];
    for (const id of ids) if (verdicts.delete(id)) queue.tell(queue.left + 1);
    const place = items.findIndex((each) => ids.includes(each.id));
    if (place >= 0) {
      const again = await queue.specimens([items[place].id]).catch(() => []);
      if (again.length) items[place] = again[0];
      at = place;
    } else items.splice(at, 0, ...(await queue.specimens(ids).catch(() => [])));
    ended = false;
    show();
  }

  const accept = () => { const proposed = here()?.proposed; if (proposed) say(proposed); };
  el("accept").addEventListener("click", accept);
  el("other").addEventListener("click", other);
  el("unsure").addEventListener("click", () => say(null, "dubious"));
  el("undo").addEventListener("click", undo);
  el("back").addEventListener("click", () => step(-1));
  el("skip").addEventListener("click", () => step(1));
  onKey("Enter", "yes: accept the proposed name", (event) => (pressed(event) ? false : accept()));
  onKey("/", "another name, by searching a taxon", () => { other(); });
  recentKeys("name by a taxon used last", (taxon) => { say(taxon); });
  onKey("u", "unsure", () => { say(null, "dubious"); });
  onKey("ArrowRight", "skip: the next one", () => step(1));
  onKey(" ", "skip: the next one", (event) => (pressed(event) ? false : step(1)));
  onKey("ArrowLeft", "back to the one before", () => step(-1));
  onKey("z", "undo the last act, any number of steps", () => { undo(); });
  recentButtons(el("recent"), (taxon) => say(taxon));
  fill();
}
