// The page of one specimen: its image, naming it here, the one before and after it by keys, and the other taxon it could be.
import { onKey } from "./keys.js";
import { doubt, label, undo } from "./labels.js";
import { recentButtons, recentKeys } from "./recent.js";
import { pickTaxon } from "./taxon_picker.js";
import { toast } from "./toast.js";
import { Viewer } from "./viewer.js";

const page = document.querySelector("[data-specimen]");
const id = page.dataset.specimen;
const mayName = page.dataset.mayName === "true";

// ------------------------------------------------------------------ image

const frame = document.getElementById("viewer");
if (frame) {
  const viewer = new Viewer(frame);
  const shown = document.getElementById("zoom");
  viewer.addEventListener("zoom", ({ detail }) => { shown.textContent = `${Math.round(detail.scale * 100)} %`; });
  const acts = { in: () => viewer.larger(), out: () => viewer.smaller(), fit: () => viewer.fit() };
  for (const button of document.querySelectorAll("[data-zoom]")) button.addEventListener("click", () => acts[button.dataset.zoom]());
  onKey("+", "larger", () => viewer.larger());
  onKey("=", "", () => viewer.larger());
  onKey("-", "smaller", () => viewer.smaller());
  onKey("0", "all of the image", () => viewer.fit());
  const moves = { ArrowLeft: [60, 0], ArrowRight: [-60, 0], ArrowUp: [0, 60], ArrowDown: [0, -60] };
  for (const [key, by] of Object.entries(moves)) onKey(`shift+${key}`, key === "ArrowLeft" ? "with arrows: move the image" : "", () => viewer.panBy(...by));
  if (frame.querySelector("img").naturalWidth) viewer.fit();
}

// ------------------------------------------------------------------ before and after, and back

const CAME_FROM = "came-from";
const back = document.getElementById("back");

function rememberWhereFrom() {
  let from = null;
  try { from = document.referrer ? new URL(document.referrer) : null; } catch { /* no address */ }
  if (from && from.origin === location.origin && from.pathname !== "/specimen" && from.pathname !== "/login") sessionStorage.setItem(CAME_FROM, from.pathname + from.search);
  const kept = sessionStorage.getItem(CAME_FROM);
  if (!kept || !kept.startsWith("/") || kept.startsWith("//")) return;
  const address = new URL(kept, location.origin);
  if (address.origin !== location.origin) return;
  if (address.pathname === "/explore") {
    const view = new URLSearchParams(address.search);
    for (const name of ["id", "after"]) view.delete(name);
    if (view.toString() !== new URLSearchParams(page.dataset.view).toString()) return;
    address.searchParams.set("id", id);
    address.searchParams.delete("after");
  } else if (page.dataset.view) return;
  else back.lastChild.textContent = " Back";
  back.href = address.pathname + address.search;
}
try { rememberWhereFrom(); } catch { /* a browser that keeps nothing: the link of the page stands */ }

const follow = (link) => { const found = document.getElementById(link); if (!found) return false; found.click(); return true; };
for (const key of ["ArrowRight", "j"]) onKey(key, key === "j" ? "→ or j: the next specimen" : "", () => follow("next"));
for (const key of ["ArrowLeft", "k"]) onKey(key, key === "k" ? "← or k: the one before" : "", () => follow("previous"));
onKey("Escape", "back to the grid", () => follow("back"));

// ------------------------------------------------------------------ naming

const refresh = () => document.getElementById("names").dispatchEvent(new Event("refresh"));
for (const event of ["labelled", "undone"]) document.addEventListener(event, refresh);

if (mayName) {
  const named = (taxon) => label([id], { ...taxon, how: "specimen" }).catch(() => null);
  const acts = {
    name: async () => { const taxon = await pickTaxon({ title: "Name this specimen" }); if (taxon) await named(taxon); },
    unsure: () => doubt([id]).catch(() => null),
    undo: () => undo().catch(() => null),
  };
  for (const button of document.querySelectorAll("[data-act]")) button.addEventListener("click", () => acts[button.dataset.act]());
  onKey("/", "name it by searching a taxon", () => { acts.name(); });
  onKey("u", "unsure: doubt its name", () => { acts.unsure(); });
  onKey("z", "undo the last act, any number of steps", () => { acts.undo(); });
  recentButtons(document.getElementById("recent"), (taxon) => named(taxon));
  recentKeys("name it by a taxon used last", (taxon) => { named(taxon); });
}

// ------------------------------------------------------------------ barcode

const letters = document.getElementById("letters");
document.getElementById("copy-barcode")?.addEventListener("click", async () => {
  try {
    await navigator.clipboard.writeText(letters.textContent);
    toast("the barcode is copied");
  } catch { // a browser that lets no page write: the letters are selected, to be copied by hand
    letters.closest("details").open = true;
    getSelection().selectAllChildren(letters);
    toast("press Ctrl-C to copy the letters");
  }
});

// ------------------------------------------------------------------ why not the other

const against = document.getElementById("against");

async function compare(taxon) {
  const address = `/specimen/against?${new URLSearchParams({ id, taxon })}`;
  await globalThis.htmx.ajax("GET", address, { target: "#against", swap: "innerHTML" });
  against.scrollIntoView({ block: "nearest" });
}

document.getElementById("choose-other")?.addEventListener("click", async () => {
  const taxon = await pickTaxon({ title: "Compare with", ranks: [] });
  if (taxon) await compare(taxon.rank ? `${taxon.rank}:${taxon.taxon}` : taxon.taxon);
});
document.getElementById("candidates").addEventListener("click", (event) => {
  const chosen = event.target.closest("[data-candidate]");
  if (chosen) compare(`${chosen.dataset.rank}:${chosen.dataset.candidate}`);
});
