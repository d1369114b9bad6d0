// @ts-check
// What can be done with the specimens of the view: see them as a grid, name, tag, export them; and the filters one by one.
import { getJSON, postJSON } from "../api.js";
import { download } from "../download.js";
import { label, undo } from "../labels.js";
import { onKey } from "../keys.js";
import { pickTaxon } from "../taxon_picker.js";
import { toast } from "../toast.js";

const number = new Intl.NumberFormat("en");

export class Actions {
  /** bar, chips: of parts/maps.html.j2; view: a SharedView. */
  constructor(bar, chips, view) {
    Object.assign(this, { bar, chips, view, count: 0 });
    bar.addEventListener("click", (event) => this.#do(event.target.closest("[data-act]")?.dataset.act));
    chips.addEventListener("click", (event) => {
      const button = event.target.closest("button");
      if (button) this.view.set(button.dataset.without);
    });
    view.addEventListener("told", (event) => this.#told(event.detail));
    onKey("/", "name what is selected", () => { if (bar.hidden) return false; this.#do("name"); });
    onKey("t", "tag what is selected", () => { if (bar.hidden) return false; this.#do("tag"); });
    onKey("g", "see what is selected as a grid", () => { this.#do("grid"); });
    onKey("z", "undo the last act", () => { undo(); });
  }

  /** of: header of a mask: view (count), chips. */
  #told({ view: count, chips }) {
    this.count = count;
    this.bar.hidden = !chips.length;
    this.bar.querySelector(".selected").textContent = `${number.format(count)} selected`;
    this.chips.replaceChildren(...chips.map(({ says, without }) => {
      const item = document.createElement("li"), button = document.createElement("button"), words = document.createElement("span");
      item.className = "chip";
      words.textContent = says;
      Object.assign(button, { type: "button", className: "quiet", textContent: "×" });
      button.setAttribute("aria-label", `Without ${says}`);
      button.dataset.without = without;
      button.dataset.test = "chip-without";
      item.append(words, button);
      return item;
    }));
  }

  async #do(act) {
    if (!act) return;
    if (act === "grid") location.assign(this.view.at("/explore"));
    if (act === "clear") this.view.set("");
    if (act !== "grid" && act !== "clear" && !this.bar.querySelector(`[data-act="${act}"]`)) return; // who only looks
    if (act === "name") {
      const taxon = await pickTaxon({ title: `Name ${number.format(this.count)} specimens` });
      if (taxon) await label({ view: this.view.query }, { ...taxon, how: "map" });
    }
    if (act === "tag") {
      const name = await askTag(this.count);
      if (!name) return;
      await postJSON("/api/tags", { view: this.view.query, name });
      toast(`tagged “${name}”`, { action: { label: "Undo", run: () => undo() } });
      document.dispatchEvent(new Event("tagged"));
    }
    if (act === "export") await download("/api/export", { view: this.view.query, format: "csv" });
  }
}

/** Ask for the name of a tag; null: none after all. */
async function askTag(count) {
  const known = await getJSON("/api/tags", { quiet: true }).catch(() => ({ tags: [] }));
  const dialog = document.createElement("dialog"), form = document.createElement("form"), label_ = document.createElement("label"), words = document.createElement("span");
  const box = document.createElement("input"), list = document.createElement("datalist"), row = document.createElement("div");
  dialog.setAttribute("aria-label", "Tag");
  dialog.dataset.test = "tag-dialog";
  form.method = "dialog";
  label_.className = "field";
  words.textContent = `Tag ${number.format(count)} specimens as`;
  Object.assign(box, { maxLength: 100, required: true, autocomplete: "off" });
  box.setAttribute("list", "tags-known");
  box.dataset.test = "tag-name";
  list.id = "tags-known";
  list.append(...(known.tags ?? known).map((tag) => new Option(tag.name ?? tag)));
  row.className = "row";
  for (const [text, value, kind] of [["Tag", "yes", ""], ["Cancel", "", "quiet"]]) {
    const button = document.createElement("button");
    Object.assign(button, { textContent: text, value, className: kind, formNoValidate: !value });
    if (value) button.dataset.test = "tag-do";
    row.append(button);
  }
  label_.append(words, box);
  form.append(label_, list, row);
  dialog.append(form);
  document.body.append(dialog);
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => { dialog.remove(); resolve(dialog.returnValue === "yes" ? box.value.trim() : null); });
    dialog.showModal();
  });
}
