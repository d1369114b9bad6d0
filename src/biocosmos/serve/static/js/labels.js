// Naming: one POST an act, an undo for every act, the keys of naming, and the bar under a grid.
import { postJSON } from "./api.js";
import { onKey } from "./keys.js";
import { recentButtons, recentKeys, remember } from "./recent.js";
import { pickTaxon } from "./taxon_picker.js";
import { toast } from "./toast.js";
import { inTurn } from "./turns.js";

const MOST_LIKE = 20;
const SIGNS = { validated: "✓", dubious: "?", predicted: "≈", unlabelled: "–" };

/** Name specimens, by ids or by a view's query. Returns {act, count, refused}; sends "labelled" on the document. */
export async function label(what, { taxon, rank = null, status = "validated", how = "by hand", path = "" }) {
  const body = { ...(Array.isArray(what) ? { ids: what } : what), taxon, rank, status, how };
  const done = await inTurn(() => postJSON("/api/labels", body));
  if (taxon) remember({ taxon, rank, path });
  const refused = done.refused ?? [];
  const words = status === "dubious" ? "marked as unsure" : `named ${taxon}`;
  toast(`${done.count.toLocaleString("en")} ${words}`, { action: { label: "Undo", run: () => undo() } });
  if (refused.length) toast(`${refused.length} were refused: ${refused[0].id}: ${refused[0].reason}`, { error: true });
  const ids = Array.isArray(what) ? what.filter((id) => !refused.some((each) => each.id === id)) : [];
  document.dispatchEvent(new CustomEvent("labelled", { detail: { ids, taxon, rank, status, done } }));
  return done;
}

/** Mark as unsure: the name that stands is doubted. */
export const doubt = (ids) => label(ids, { taxon: null, status: "dubious" });

/** Take back the last act that stands, whatever it was and whenever. */
export async function undo() {
  const { undone } = await inTurn(() => postJSON("/api/undo", {}), { alone: true });
  toast(undone ? `undone: ${undone.what ?? undone.says ?? "the last act"}` : "there is nothing to undo");
  document.dispatchEvent(new CustomEvent("undone", { detail: undone ?? {} }));
  return undone;
}

/** Show what a specimen is called now in a tile. */
export function retitle(tile, { taxon, status }) {
  const name = tile.querySelector(".name"), mark = tile.querySelector(".mark");
  if (taxon && name) {
    name.textContent = taxon;
    tile.querySelector(".pick")?.setAttribute("aria-label", `Select ${taxon}, ${tile.dataset.id}`);
  }
  if (mark) {
    const words = document.createElement("span");
    words.className = "sr";
    words.textContent = ` ${status}`;
    mark.className = `mark mark-${status}`;
    mark.title = status;
    mark.replaceChildren(SIGNS[status] ?? "", words);
  }
}

/**
 * Work a grid: the bar under it and the keys. selection: of selection.js. after(ids, {taxon, rank, status}): what to do with
 * tiles that were named (by default they get the new name); how: what for, kept with every act.
 */
export function labelGrid(selection, { how = "explore", after = null } = {}) {
  const grid = selection.grid;
  const bar = document.querySelector(`[data-selection-bar="${grid.id}"]`);
  const asked = new Set();
  const act = async (taxon, status = "validated") => {
    const ids = selection.target().filter((id) => !asked.has(id)); // what is clicked before the answer comes is of the next act
    if (!ids.length) { if (!asked.size) toast("select specimens first: click them, or press space"); return; }
    const chosen = selection.ids();
    if (!after) selection.set(ids, false);
    else for (const id of ids) asked.add(id);
    const done = await label(ids, { ...(taxon ?? { taxon: null }), status, how }).catch(() => null);
    for (const id of ids) asked.delete(id);
    if (!done) { if (!after) selection.set(chosen); return; }
    const refused = new Set((done.refused ?? []).map((each) => each.id));
    const named = ids.filter((id) => !refused.has(id));
    const what = { taxon: taxon?.taxon ?? null, rank: taxon?.rank ?? null, status };
    if (after) after(named, what);
    else {
      const those = new Set(named);
      for (const tile of selection.tiles()) if (those.has(tile.dataset.id)) retitle(tile, what);
    }
  };
  const name = async () => {
    if (!selection.target().length) { toast("select specimens first: click them, or press space"); return; }
    const focused = document.activeElement;
    const taxon = await pickTaxon({ title: "Name the selected specimens" });
    focused?.focus?.({ preventScroll: true });
    if (taxon) await act(taxon);
  };
  onKey("/", "name by searching a taxon", () => { name(); });
  recentKeys("name by a taxon used last", (taxon) => { act(taxon); });
  onKey("u", "unsure: doubt the name", () => { act(null, "dubious"); });
  onKey("z", "undo the last act, any number of steps", () => { undo(); });
  const like = () => {
    const ids = selection.target().slice(0, MOST_LIKE);
    if (!ids.length) { toast("select specimens first: click them, or press space"); return; }
    location.assign(`/search?${new URLSearchParams(ids.map((id) => ["like", id]))}`);
  };
  onKey("m", "more like the selected specimens", like);
  onKey("Escape", "clear the selection", () => selection.clear());
  onKey(" ", "select or leave out (on a tile)", () => false);
  onKey("ctrl+a", "select all that is shown", () => { selection.all(); });
  if (bar) {
    const draw = () => {
      const count = selection.ids().length;
      bar.hidden = count === 0;
      bar.querySelector(".selected").textContent = `${count.toLocaleString("en")} selected`;
    };
    const acts = { name, unsure: () => act(null, "dubious"), undo, like, clear: () => selection.clear() };
    bar.addEventListener("click", (event) => acts[event.target.closest("[data-act]")?.dataset.act]?.());
    selection.addEventListener("selection", draw);
    recentButtons(bar.querySelector(".recent"), (taxon) => act(taxon));
    draw();
  }
  return { act, name };
}
