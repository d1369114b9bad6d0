// Search: images, words and specimens; answers below, with selecting and naming as everywhere.
import { filesOf, piece, show } from "./drop.js";
import { labelGrid } from "./labels.js";
import { Selection } from "./selection.js";

const form = document.getElementById("ask");
const results = document.getElementById("results");
const status = document.getElementById("status");
const OWN = ["images", "like", "text", "dna", "k", "encoder", "among", "ask_with"];

const selection = new Selection(results);
labelGrid(selection, { how: "search" });
const files = filesOf(form, { most: Number(form.dataset.most) });

/** Address of the search, as far as an address can say it: ids, words, k and what it is restricted to. */
function address(data) {
  const query = new URLSearchParams();
  for (const [name, value] of data) if (typeof value === "string" && value && name !== "dna") query.append(name, value);
  return `/search?${query}`;
}

async function search() {
  const data = files.data();
  const asked = files.files.length || ["like", "text", "dna"].some((name) => data.getAll(name).some((value) => value));
  if (!asked) { status.textContent = "Give an image, words, a barcode, or press “more like this” on a specimen."; return; }
  const query = new URLSearchParams();
  for (const [name, value] of [...data]) {
    if (OWN.includes(name)) continue;
    if (value) query.append(name, value);
    data.delete(name);
  }
  history.replaceState(null, "", address(new FormData(form)));
  results.setAttribute("aria-busy", "true");
  status.textContent = "Searching…";
  const started = performance.now();
  const found = await piece(`/search/results?${query}`, { method: "POST", body: data }, (line) => { status.textContent = line; });
  results.setAttribute("aria-busy", "false");
  if (found.error) { status.textContent = found.error; status.className = "warn"; return; }
  status.className = "";
  selection.clear();
  show(results, found.html);
  for (const tile of results.querySelectorAll(".tile")) likeButton(tile);
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  status.textContent = `${results.querySelectorAll(".answer").length} asked about, answered in ${seconds} s.`;
}

/** "More like this" on a tile, and, where a specimen has a picture and a barcode in one space, what its barcode is like. */
function likeButton(tile) {
  tile.append(linkTo(tile.dataset.id, "more like this", "more-like-this", {}));
  if ("both" in tile.dataset) {
    tile.append(linkTo(tile.dataset.id, "its barcode among pictures", "barcode-among-pictures", { among: "image", ask_with: "dna", encoder: "" }));
  }
}

function linkTo(id, words, test, told) {
  const link = document.createElement("a");
  const here = new URL(address(new FormData(form)), location.href);
  for (const name of ["like", "text", "ask_with"]) here.searchParams.delete(name);
  for (const [name, value] of Object.entries({ like: id, ...told })) {
    if (value) here.searchParams.set(name, value); else here.searchParams.delete(name);
  }
  link.href = here.pathname + here.search;
  link.className = "note";
  link.textContent = words;
  link.dataset.test = test;
  return link;
}

form.addEventListener("submit", (event) => { event.preventDefault(); search(); });
form.addEventListener("click", (event) => { event.target.closest("[data-remove]")?.closest("[data-like]")?.remove(); });
if (form.querySelector("[data-like]") || ["text", "dna"].some((name) => form.querySelector(`[name=${name}]`)?.value)) search();
