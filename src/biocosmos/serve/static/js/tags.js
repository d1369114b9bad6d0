// @ts-check
// Tags, saved views and export, for whatever grid a page has: "tag" and "export" in its selection bar, and the menu of views.
// It hears of a selection by the event that selection.js sends, so that no page has to know of it.
import { getJSON, postJSON } from "./api.js";
import { exportDialog } from "./export.js";
import { onKey } from "./keys.js";
import { undo } from "./labels.js";
import { toast } from "./toast.js";

const MAY = ["annotator", "admin"].includes(document.body.dataset.role ?? "");
const count = (number) => Number(number).toLocaleString("en");

function make(tag, { text = "", test = "", ...more } = {}, ...children) {
  const made = Object.assign(document.createElement(tag), more);
  if (text) made.textContent = text;
  if (test) made.dataset.test = test;
  made.append(...children);
  return made;
}

function key(text, letter) {
  return [`${text} `, make("kbd", { text: letter })];
}

const button = (given, ...children) => make("button", { type: "button", ...given }, ...children);

/** The query of the view that the page shows, null where it shows none. */
const viewNow = () => document.querySelector(".results-head")?.dataset.query ?? null;
const totalNow = () => Number(document.querySelector(".results-head")?.dataset.total ?? 0);

// ---------------------------------------------------------------- tagging

async function act(what, name, remove) {
  const done = await postJSON("/api/tags", { ...what, name, remove }).catch(() => null);
  if (!done) return false;
  const words = remove ? `lost the tag “${name}”` : `got the tag “${name}”`;
  toast(done.count ? `${count(done.count)} ${words}` : `nothing changed: ${remove ? "none of them had it" : "all of them had it"}`, done.count ? { action: { label: "Undo", run: () => undo() } } : {});
  document.dispatchEvent(new CustomEvent("tagged", { detail: { name } }));
  return true;
}

/** Ask for a tag and give it to specimens, or take it: what is {ids} or {view}. */
export async function tagDialog(what, number) {
  if (document.querySelector("dialog[open]")) return;
  const { tags } = await getJSON("/api/tags").catch(() => ({ tags: [] }));
  const known = make("datalist", { id: "known-tags" }, ...tags.map((tag) => make("option", { value: tag.name })));
  const box = make("input", { test: "tag-name", maxLength: 100, required: true, autocomplete: "off" });
  box.setAttribute("list", "known-tags");
  const form = make("form", { method: "dialog" },
    make("h2", { text: `Tag ${count(number)} specimens` }),
    make("label", { className: "field" }, make("span", { text: "Tag" }), box), known,
    make("ul", { className: "chips" }, ...tags.slice(0, 24).map((tag) => make("li", {}, button({ className: "quiet", text: `${tag.name} · ${count(tag.count)}`, test: "known-tag", onclick: () => { box.value = tag.name; box.focus(); } })))),
    make("p", { className: "row" },
      make("button", { text: "Add", test: "tag-add", value: "add" }),
      make("button", { text: "Remove", test: "tag-remove", value: "remove", className: "second" }),
      button({ text: "Cancel", className: "quiet", onclick: () => dialog.close() })));
  const dialog = make("dialog", { test: "tag-dialog" }, form);
  dialog.setAttribute("aria-label", "Tag");
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (await act(what, box.value.trim(), event.submitter?.value === "remove")) dialog.close();
  });
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
  box.focus();
}

// ---------------------------------------------------------------- the bar of a grid

let chosen = [];
let bar = null;

for (const each of document.querySelectorAll("[data-selection-bar]")) {
  const grid = document.getElementById(each.dataset.selectionBar ?? "");
  const place = each.querySelector("[data-more]");
  if (!grid || !place) continue;
  bar = each;
  grid.addEventListener("selection", (event) => { chosen = /** @type {CustomEvent} */ (event).detail?.ids ?? []; });
  if (MAY) place.append(button({ className: "second", test: "tag-selected", onclick: () => tagSelected() }, ...key("Tag", "t")));
  place.append(" ", button({ className: "second", test: "export-selected", onclick: () => exportSelected() }, ...key("Export", "e")));
}

function tagSelected() {
  if (chosen.length) tagDialog({ ids: chosen }, chosen.length);
  else if (viewNow() !== null && totalNow()) tagDialog({ view: viewNow() }, totalNow());
  else toast("select specimens first: click them, or press space");
}

function exportSelected() {
  if (chosen.length) exportDialog({ ids: chosen }, chosen.length);
  else if (viewNow() !== null && totalNow()) exportDialog({ view: viewNow() }, totalNow());
  else toast("select specimens first: click them, or press space");
}

if (bar) {
  if (MAY) onKey("t", "tag what is selected, or the whole view", tagSelected);
  onKey("e", "export what is selected, or the whole view", exportSelected);
}

// ---------------------------------------------------------------- the menu of views

const menu = document.getElementById("views");

async function fill() {
  const body = menu.querySelector(".menu-body");
  const [{ views }, { tags }] = await Promise.all([getJSON("/api/views").catch(() => ({ views: [] })), getJSON("/api/tags").catch(() => ({ tags: [] }))]);
  const rows = views.map((view) => make("li", { className: "row spread", test: "saved-view" },
    make("a", { text: view.name, href: view.query ? `/explore?${view.query}` : "/explore", title: `${view.by}, ${view.at.slice(0, 16).replace("T", " ")} UTC` }),
    ...(MAY ? [button({ className: "quiet", text: "×", test: "delete-view", ariaLabel: `Forget the view ${view.name}`, onclick: () => forget(`/api/views?${new URLSearchParams({ name: view.name })}`, `the view “${view.name}” is forgotten`) })] : [])));
  for (const row of rows) row.querySelector("a").dataset.view = "";
  const name = make("input", { test: "view-name", maxLength: 100, required: true, placeholder: "Name of this view", ariaLabel: "Name of this view" });
  const save = make("form", { className: "row", test: "save-view-form" }, name, make("button", { text: "Save", test: "save-view" }));
  save.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (await postJSON("/api/views", { name: name.value, query: viewNow() ?? "" }).catch(() => null)) { toast(`the view “${name.value.trim()}” is saved`); await fill(); }
  });
  const tagRows = tags.map((tag) => make("li", { className: "row spread", test: "tag-row" },
    make("a", { text: `${tag.name} · ${count(tag.count)}`, href: `/explore?${new URLSearchParams({ tag: tag.name })}`, title: `${tag.by}, ${tag.at.slice(0, 16).replace("T", " ")} UTC` }),
    ...(MAY ? [
      button({ className: "quiet", text: "Rename", test: "rename-tag", onclick: (event) => rename(event.currentTarget.closest("li"), tag.name) }),
      button({ className: "quiet", text: "×", test: "delete-tag", ariaLabel: `Delete the tag ${tag.name}`, onclick: () => forget(`/api/tags?${new URLSearchParams({ name: tag.name })}`, `the tag “${tag.name}” is deleted`) }),
    ] : [])));
  for (const row of tagRows) row.querySelector("a").dataset.view = "";
  body.replaceChildren(
    make("h3", { text: "Saved views" }), rows.length ? make("ul", { className: "plain" }, ...rows) : make("p", { className: "faint", text: "None yet: narrow the grid down, and save it here." }),
    ...(MAY ? [save] : []),
    make("h3", { text: "Tags" }), tagRows.length ? make("ul", { className: "plain" }, ...tagRows) : make("p", { className: "faint", text: "None yet: select specimens and press t." }),
    make("h3", { text: "This view" }),
    make("p", { className: "row" }, ...(MAY ? [button({ className: "second", text: "Tag all of it", test: "tag-view", onclick: () => tagDialog({ view: viewNow() ?? "" }, totalNow()) })] : []),
      button({ className: "second", text: "Export all of it", test: "export-view", onclick: () => exportDialog({ view: viewNow() ?? "" }, totalNow()) })));
}

function rename(row, old) {
  const box = make("input", { value: old, maxLength: 100, required: true, test: "new-tag-name", ariaLabel: `New name of the tag ${old}` });
  const form = make("form", { className: "row" }, box, make("button", { text: "Rename", test: "rename-tag-go" }));
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (!await postJSON("/api/tags/rename", { name: old, new: box.value }).catch(() => null)) return;
    document.dispatchEvent(new CustomEvent("tagged", { detail: { name: box.value } }));
    await fill();
  });
  setTimeout(() => { row.replaceChildren(form); box.select(); }); // after the click was seen to be within the menu
}

async function forget(address, words) {
  if (!await postJSON(address, {}, { method: "DELETE" }).catch(() => null)) return;
  toast(words, { action: { label: "Undo", run: () => undo() } });
  document.dispatchEvent(new CustomEvent("tagged", { detail: {} }));
  await fill();
}

if (menu) {
  menu.addEventListener("toggle", () => { if (menu.open) fill(); else menu.querySelector(".menu-body").replaceChildren(); });
  menu.addEventListener("click", (event) => { if (event.target.closest("a[data-view]")) menu.open = false; });
  document.addEventListener("undone", () => { if (menu.open) fill(); });
  onKey("v", "saved views and tags", () => { menu.open = !menu.open; if (menu.open) menu.querySelector("summary").focus(); });
}
