// The search box of Explore: taxa as they are typed; Enter without a choice searches names and ids for the words.
import { getJSON } from "./api.js";
import { taxonOption } from "./taxon_option.js";

const WAIT = 120;

const option = (found, index) => taxonOption(
  { ...found, path: found.path.join(" › "), title: found.synonym ? `${found.taxon} (${found.synonym})` : found.taxon }, `word-${index}`, "found-taxon");

/** Offer taxa under a box. choose(address): one was taken. */
export function suggest(box, list, choose) {
  let found = [], at = -1, timer = 0, asking = new AbortController();
  const close = () => { found = []; at = -1; list.hidden = true; list.replaceChildren(); box.setAttribute("aria-expanded", "false"); box.removeAttribute("aria-activedescendant"); };
  const mark = () => {
    [...list.children].forEach((item, index) => item.setAttribute("aria-selected", String(index === at)));
    if (list.children[at]) { box.setAttribute("aria-activedescendant", list.children[at].id); list.children[at].scrollIntoView({ block: "nearest" }); } else box.removeAttribute("aria-activedescendant");
  };
  const look = async () => {
    asking.abort();
    asking = new AbortController();
    const words = box.value.trim();
    if (!words) return close();
    try {
      const { taxa } = await getJSON(`/api/taxa?limit=12&q=${encodeURIComponent(words)}`, { quiet: true, signal: asking.signal });
      if (document.activeElement !== box) return close();
      found = taxa;
      at = -1;
      list.replaceChildren(...taxa.map(option));
      list.hidden = !taxa.length;
      box.setAttribute("aria-expanded", String(Boolean(taxa.length)));
      mark();
    } catch { close(); }
  };
  box.addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(look, WAIT); });
  box.addEventListener("keydown", (event) => {
    if ((event.key === "ArrowDown" || event.key === "ArrowUp") && found.length) { at = Math.max(-1, Math.min(found.length - 1, at + (event.key === "ArrowDown" ? 1 : -1))); mark(); event.preventDefault(); }
    if (event.key === "Escape" && !list.hidden) { close(); event.preventDefault(); event.stopPropagation(); }
    if (event.key === "Enter") { clearTimeout(timer); asking.abort(); if (found[at]) { event.preventDefault(); choose(found[at].address); } close(); }
  });
  list.addEventListener("pointerdown", (event) => event.preventDefault());
  list.addEventListener("click", (event) => { const item = event.target.closest("[role=option]"); if (item) { choose(found[[...list.children].indexOf(item)].address); close(); } });
  box.addEventListener("blur", close);
}
