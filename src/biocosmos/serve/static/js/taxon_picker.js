// Picking a taxon: a dialog with a search box, after a few letters the taxa that fit, and those that were used last.
import { getJSON } from "./api.js";
import { recentTaxa } from "./recent.js";
import { taxonOption } from "./taxon_option.js";

const WAIT = 120; // milliseconds after the last letter

const option = (taxon, index) => taxonOption(taxon, `taxon-${index}`, "taxon-option");

const asTaxon = (found) => ({ taxon: found.taxon ?? found.name, rank: found.rank ?? null, path: Array.isArray(found.path) ? found.path.join(" › ") : found.path ?? "", specimens: found.specimens ?? null });

/** Ask for a taxon. Resolves to {taxon, rank, path} or null. `ranks`: a name nobody has yet may be given with one of these. */
export function pickTaxon({ title = "Name", ranks = null } = {}) {
  if (document.querySelector("dialog.picker[open]")) return Promise.resolve(null);
  const dialog = document.createElement("dialog");
  dialog.className = "picker";
  dialog.dataset.test = "taxon-picker";
  dialog.setAttribute("aria-label", title);
  const box = document.createElement("input");
  Object.assign(box, { type: "search", placeholder: "Letters of a taxon …", autocomplete: "off", spellcheck: false, maxLength: 200 });
  for (const [name, value] of Object.entries({ role: "combobox", "aria-label": title, "aria-expanded": "true", "aria-controls": "taxa-found", "aria-autocomplete": "list" })) box.setAttribute(name, value);
  box.dataset.test = "taxon-search";
  const list = document.createElement("ul");
  list.id = "taxa-found";
  list.setAttribute("role", "listbox");
  list.setAttribute("aria-label", "Taxa");
  const hint = document.createElement("p");
  hint.className = "faint";
  hint.setAttribute("aria-live", "polite");
  const fresh = document.createElement("form");
  fresh.className = "row";
  fresh.hidden = true;
  dialog.append(box, list, hint, fresh);
  document.body.append(dialog);

  return new Promise((resolve) => {
    let found = [], at = 0, timer = 0, asked = 0, result = null;
    const choose = (taxon) => { result = taxon; dialog.close(); };
    const mark = () => {
      [...list.children].forEach((item, index) => item.setAttribute("aria-selected", String(index === at)));
      if (list.children[at]) { box.setAttribute("aria-activedescendant", list.children[at].id); list.children[at].scrollIntoView({ block: "nearest" }); } else box.removeAttribute("aria-activedescendant");
    };
    const show = (taxa, says = "") => {
      found = taxa; at = 0;
      list.replaceChildren(...taxa.map(option));
      hint.textContent = says;
      mark();
    };
    const offer = async (words) => {
      fresh.replaceChildren();
      ranks ??= (await getJSON("/api/ranks", { quiet: true }).catch(() => ({ ranks: [] }))).ranks ?? [];
      fresh.hidden = !ranks.length;
      if (!ranks.length) return;
      const label = document.createElement("label");
      label.textContent = `New: “${words}” as `;
      const rank = document.createElement("select");
      rank.dataset.test = "new-rank";
      for (const each of ranks) rank.add(new Option(each, each, false, each === "species" || each === "label"));
      label.append(rank);
      const button = document.createElement("button");
      button.textContent = "Add";
      button.dataset.test = "new-taxon";
      fresh.append(label, button);
      fresh.onsubmit = (event) => { event.preventDefault(); choose({ taxon: words, rank: rank.value, path: "", fresh: true }); };
    };
    const look = async () => {
      const words = box.value.trim(), mine = ++asked;
      fresh.hidden = true;
      if (!words) { show(recentTaxa(), recentTaxa().length ? "Used last" : "Type a few letters; Esc closes"); return; }
      try {
        const answer = await getJSON(`/api/taxa?q=${encodeURIComponent(words)}&limit=20`);
        if (mine !== asked) return;
        const taxa = (answer.taxa ?? answer).map(asTaxon);
        show(taxa, taxa.length ? "" : "No taxon of this collection has these letters.");
        if (!taxa.some((each) => each.taxon === words)) await offer(words);
      } catch { /* shown as a toast */ }
    };
    box.addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(look, WAIT); });
    box.addEventListener("keydown", async (event) => {
      if (event.key === "ArrowDown" || event.key === "ArrowUp") { at = Math.max(0, Math.min(found.length - 1, at + (event.key === "ArrowDown" ? 1 : -1))); mark(); event.preventDefault(); }
      if (event.key === "Enter") { event.preventDefault(); clearTimeout(timer); if (box.value.trim() && timer) await look(); timer = 0; if (found[at]) choose(found[at]); }
    });
    list.addEventListener("click", (event) => { const item = event.target.closest("[role=option]"); if (item) choose(found[[...list.children].indexOf(item)]); });
    dialog.addEventListener("close", () => { dialog.remove(); resolve(result); });
    dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
    dialog.showModal();
    box.focus();
    look();
  });
}
