// What learning from the new labels changed, and the button that puts it to use.
import { getJSON, postJSON } from "./api.js";
import { element, table } from "./job_parts.js";
import { toast } from "./toast.js";

const box = document.getElementById("models");
const isAdmin = document.body.dataset.role === "admin";
const percent = (value) => (value === null || value === undefined ? "–" : `${(100 * value).toFixed(1)} %`);
const signed = (value) => `${value > 0 ? "+" : ""}${(100 * value).toFixed(1)}`;

function verdict(row) {
  const sign = row.low > 0 ? 1 : row.high < 0 ? -1 : 0;
  const good = row.measure === "answered wrongly" ? -sign : sign; // fewer wrong answers are better
  const arrow = sign > 0 ? "▲" : "▼";
  if (good > 0) return element("span", { className: "better", text: `${arrow} better` });
  if (good < 0) return element("span", { className: "worse", text: `${arrow} worse` });
  return element("span", { text: "not told apart" });
}

const change = (row) => `${signed(row.value)} points (${signed(row.low)} to ${signed(row.high)})`;

function taxa(model) {
  const made = element("details", { test: "model-taxa" });
  made.append(element("summary", { text: `${model.taxa.length.toLocaleString("en")} taxa changed` }));
  const rows = model.taxa.map((row) => [row.taxon, row.specimens.toLocaleString("en"), percent(row.before), percent(row.after), change(row), verdict(row)]);
  const scroll = element("div", { className: "scroll" });
  scroll.append(table(["Taxon", "Held out", "Before", "Now", "Change", ""], rows, { number: [1, 2, 3], test: "taxon-table" }));
  made.append(scroll);
  return made;
}

function about(model) {
  const made = element("article", { className: "model", test: "model" });
  made.dataset.name = model.name;
  const head = element("div", { className: "row spread" });
  head.append(element("h3", { text: model.name }));
  if (model.promoted) head.append(element("span", { className: "status status-done", text: "in use", test: "model-in-use" }));
  else if (isAdmin) {
    const button = element("button", { text: "Promote", test: "model-promote" });
    button.type = "button";
    button.addEventListener("click", () => promote(model.name, button));
    head.append(button);
  }
  made.append(head, element("p", { text: model.says, test: "model-says" }));
  if (model.ranks.length) {
    const rows = model.ranks.map((row) => [row.what, row.specimens.toLocaleString("en"), percent(row.before), percent(row.after), row.value === null ? "–" : change(row), row.value === null ? "" : verdict(row)]);
    const scroll = element("div", { className: "scroll" });
    scroll.append(table(["Right at", "Held out", "Before", "Now", "Change, 95 % interval", ""], rows, { number: [1, 2, 3], test: "rank-table" }));
    made.append(scroll);
  }
  if (model.taxa.length) made.append(taxa(model));
  for (const note of model.notes) made.append(element("p", { className: "faint", text: note }));
  if (model.report) {
    const link = element("a", { text: "The whole report", test: "model-report" });
    link.href = `/reports?open=${encodeURIComponent(model.report)}`;
    made.append(link);
  }
  return made;
}

async function promote(name, button) {
  button.disabled = true;
  try {
    await postJSON(`/api/models/${encodeURIComponent(name)}/promote`, {});
    toast(`${name} names from now on; names that were predicted before stay until “Name the unnamed” is started again`, { seconds: 10 });
    await showModels();
  } catch { button.disabled = false; }
}

/** Ask what has been fitted, and show it, the latest first. */
export async function showModels() {
  const { models } = await getJSON("/api/models", { quiet: true });
  const [latest, ...older] = models;
  box.replaceChildren();
  if (!latest) return;
  box.append(about(latest));
  if (older.length) {
    const more = element("details", { test: "models-older" });
    more.append(element("summary", { text: `${older.length} earlier` }), ...older.map(about));
    box.append(more);
  }
}
