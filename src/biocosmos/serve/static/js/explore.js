// Explore: the address is the view. Links, boxes and forms change it without leaving the page; back and forward work.
import { getJSON } from "./api.js";
import { showFacets } from "./explore_facets.js";
import { suggest } from "./explore_search.js";
import { showTree } from "./explore_tree.js";
import { piece } from "./fragment.js";
import { EndlessGrid } from "./grid.js";
import { labelGrid } from "./labels.js";
import { Selection } from "./selection.js";
import { toast } from "./toast.js";
import { showWhere } from "./where.js";

const results = document.getElementById("results");
const list = document.getElementById("grid");
const end = document.getElementById("end");
const windowBox = document.getElementById("window");
const selection = new Selection(list);
const grid = new EndlessGrid(list, { more: (_, all) => { end.hidden = !all; } });
selection.between = (from, to) => grid.between(from, to);
labelGrid(selection, { how: "explore" });

const head = () => results.querySelector(".results-head");
let asking = new AbortController();

/** The query of the view that is shown. */
export const query = () => head().dataset.query;

function begin() {
  const { page, more } = head().dataset;
  grid.begin(query(), Number(page), more === "1");
  comeBack(Number(page));
}

/** Whoever comes back from a specimen (id=... in the address) finds the grid where it was. */
async function comeBack(size) {
  const id = new URLSearchParams(location.search).get("id");
  if (!id) return;
  const found = await getJSON(`/api/specimen/place?${new URLSearchParams({ id, size: String(size) })}${query() ? `&${query()}` : ""}`, { quiet: true }).catch(() => null);
  if (found?.total) await grid.goTo(id, found.place, found.total, found.ends);
}

list.addEventListener("click", (event) => {
  const tile = event.target.closest(".name")?.closest(".tile");
  if (!tile || event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
  const here = new URLSearchParams(query());
  here.set("id", tile.dataset.id);
  history.replaceState(history.state, "", `/explore?${here}`);
}, { capture: true });

/** Show another view. search: its query; push: whether it becomes a step of the history. */
export async function navigate(search, { push = true } = {}) {
  asking.abort();
  asking = new AbortController();
  results.setAttribute("aria-busy", "true");
  const got = await piece(`/explore/results?${search}`, { signal: asking.signal });
  results.removeAttribute("aria-busy");
  if (!got) return;
  const fresh = got.body;
  const tiles = [...fresh.querySelectorAll("#grid > .tile")].map((tile) => document.adoptNode(tile));
  windowBox.hidden = fresh.querySelector("#window").hidden;
  end.hidden = fresh.querySelector("#end").hidden;
  end.textContent = fresh.querySelector("#end").textContent;
  for (const part of [...results.children]) if (part !== windowBox && part !== end) part.remove();
  windowBox.before(...[...fresh.children].filter((part) => part.id !== "window" && part.id !== "end"));
  list.replaceChildren(...tiles);
  selection.clear();
  if (push) history.pushState({}, "", query() ? `/explore?${query()}` : "/explore");
  document.title = document.title.replace(/^[^·]*·/, () => `${head().dataset.title} ·`);
  controls();
  if (scrollY > results.offsetTop) scrollTo(0, 0);
  begin();
  side();
}

function controls() {
  const { sort, reverse, words } = head().dataset;
  const menu = document.getElementById("sort");
  if (![...menu.options].some((option) => option.value === sort)) menu.add(new Option("most alike first", sort));
  menu.value = sort;
  document.getElementById("reverse").checked = reverse === "1";
  document.getElementById("words").value = words;
}

function side() {
  showTree(query());
  showFacets(query());
  showWhere(query());
}

/** The query of the view with other values: {name: value}, null leaves it out. */
export function changed(values) {
  const params = new URLSearchParams(query());
  for (const [name, value] of Object.entries(values)) if (value === null || value === "") params.delete(name); else params.set(name, value);
  return params.toString();
}

document.addEventListener("click", (event) => {
  const link = event.target.closest("a[data-view]");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
  event.preventDefault();
  navigate(new URL(link.href).search.slice(1));
});

document.getElementById("search").addEventListener("submit", (event) => {
  event.preventDefault();
  navigate(changed({ words: document.getElementById("words").value.trim() }));
});
document.getElementById("sort").addEventListener("change", (event) => navigate(changed({ sort: event.target.value, like: event.target.value === "likeness" ? new URLSearchParams(query()).get("like") : null })));
document.getElementById("reverse").addEventListener("change", (event) => navigate(changed({ reverse: event.target.checked ? "1" : null })));
suggest(document.getElementById("words"), document.getElementById("words-found"), (address) => navigate(changed({ taxon: address, words: null })));
document.addEventListener("narrow", (event) => navigate(event.detail.query));
addEventListener("popstate", () => navigate(location.search.slice(1), { push: false }));

results.addEventListener("click", async (event) => {
  if (event.target.closest("#copy-address")) {
    const address = location.origin + (query() ? `/explore?${query()}` : "/explore");
    try { await navigator.clipboard.writeText(address); toast("the address is copied"); } catch { toast(address); }
  }
  if (event.target.closest("#select-all")) {
    const { ids } = await getJSON(`/api/specimens/ids?${query()}`);
    if (ids) selection.set(ids);
    else toast("these are too many for one selection: narrow the view", { error: true });
  }
});

let later = 0;
const recount = () => { clearTimeout(later); later = setTimeout(side, 400); };
document.addEventListener("labelled", recount);
document.addEventListener("tagged", recount);
document.addEventListener("undone", () => { grid.renew(); recount(); });

begin();
side();
