// @ts-check
// Exporting a selection or a view: a download where it is little, a job where it is much or has pictures.
import { Refused } from "./api.js";
import { toast } from "./toast.js";

const FORMATS = [
  ["csv", "CSV", "a table for spreadsheets and R"],
  ["parquet", "Parquet", "a table for Python, R and DuckDB"],
  ["darwin-core", "Darwin Core Archive", "for GBIF and museums; people and machines told apart"],
  ["ecotaxa", "EcoTaxa zip", "with pictures; predicted, validated and dubious"],
];

const fileName = (response) => /filename="([^"]+)"/.exec(response.headers.get("content-disposition") ?? "")?.[1] ?? "export";

async function ask(what, settings) {
  const response = await fetch("/api/export", { method: "POST", credentials: "same-origin", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ ...what, ...settings }) })
    .catch(() => { throw new Refused("the server does not answer: is it still running?", 0); });
  if (response.status === 202) return { job: (await response.json()).job };
  if (response.ok) return { name: fileName(response), file: await response.blob() };
  const said = await response.json().catch(() => null);
  throw new Refused(said?.error ?? `the server answered ${response.status}`, response.status);
}

function save(name, file) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(file);
  link.download = name;
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

/** Ask how, and export: what is {ids} or {view}. */
export function exportDialog(what, number) {
  if (document.querySelector("dialog[open]")) return;
  const dialog = document.createElement("dialog");
  dialog.dataset.test = "export-dialog";
  dialog.setAttribute("aria-label", "Export");
  const form = document.createElement("form");
  form.method = "dialog";
  const title = document.createElement("h2");
  title.textContent = `Export ${number.toLocaleString("en")} specimens`;
  const choices = document.createElement("fieldset");
  choices.append(Object.assign(document.createElement("legend"), { textContent: "As" }));
  FORMATS.forEach(([value, words, about], place) => {
    const label = document.createElement("label");
    label.className = "row";
    const radio = Object.assign(document.createElement("input"), { type: "radio", name: "format", value, checked: place === 0 });
    radio.dataset.test = `format-${value}`;
    const faint = Object.assign(document.createElement("span"), { className: "faint", textContent: about });
    label.append(radio, words, faint);
    choices.append(label);
  });
  const tick = (name, words, test, checked) => {
    const label = document.createElement("label");
    label.className = "row";
    const box = Object.assign(document.createElement("input"), { type: "checkbox", name, checked });
    box.dataset.test = test;
    label.append(box, words);
    return { label, box };
  };
  const images = tick("images", "with the pictures (as a job)", "export-images", false);
  const safe = tick("spreadsheet", "safe for spreadsheets: no cell is taken for a formula", "export-spreadsheet", true);
  const go = Object.assign(document.createElement("button"), { textContent: "Export" });
  go.dataset.test = "export-go";
  const cancel = Object.assign(document.createElement("button"), { type: "button", className: "quiet", textContent: "Cancel" });
  cancel.addEventListener("click", () => dialog.close());
  const row = document.createElement("p");
  row.className = "row";
  row.append(go, cancel);
  const told = document.createElement("p");
  told.setAttribute("role", "status");
  told.dataset.test = "export-told";
  form.append(title, choices, images.label, safe.label, row, told);
  const fit = () => {
    const format = form.elements.namedItem("format").value;
    images.label.hidden = format === "csv" || format === "ecotaxa";
    safe.label.hidden = format !== "csv";
  };
  choices.addEventListener("change", fit);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const format = form.elements.namedItem("format").value;
    go.disabled = true;
    told.textContent = "Writing …";
    try {
      const found = await ask(what, { format, images: !images.label.hidden && images.box.checked, spreadsheet: safe.box.checked });
      if (found.job) {
        told.replaceChildren("A job writes it: ", Object.assign(document.createElement("a"), { href: `/jobs#${found.job.id}`, textContent: "see Jobs for the file" }), ".");
        go.hidden = true;
        cancel.textContent = "Close";
      } else { save(found.name, found.file); toast(`${found.name} is saved`); dialog.close(); }
    } catch (error) { told.textContent = ""; go.disabled = false; toast(error.message, { error: true }); }
  });
  dialog.append(form);
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  fit();
  dialog.showModal();
  choices.querySelector("input").focus();
}
