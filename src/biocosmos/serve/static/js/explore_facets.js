// The facets at the left: a form whose every change is another view.
import { piece } from "./fragment.js";

const facets = document.getElementById("facets");
const columns = new Set();
let asking = new AbortController();
let view = "";

/** Show the facets of a view, with the values of the columns that were chosen. */
export async function showFacets(query) {
  asking.abort();
  asking = new AbortController();
  view = query;
  const asked = [...columns].map((name) => `column=${encodeURIComponent(name)}`);
  const got = await piece(`/explore/facets?${[query, ...asked].filter(Boolean).join("&")}`, { signal: asking.signal });
  if (!got) return;
  const focused = facets.contains(document.activeElement) ? document.activeElement : null;
  const same = focused && { name: focused.name, value: focused.type === "checkbox" ? focused.value : null, id: focused.id };
  const typed = [...facets.querySelectorAll("input")].filter((each) => each.type !== "checkbox" && each.value !== each.defaultValue);
  facets.replaceChildren(...got.body.children);
  for (const old of typed) { // what somebody types while the counts come is kept
    const box = [...facets.querySelectorAll("input")].find((each) => each.name === old.name && each.type === old.type && each.defaultValue === old.defaultValue);
    if (box) box.value = old.value;
  }
  facets.removeAttribute("aria-busy");
  for (const bar of facets.querySelectorAll(".bar-of")) bar.style.height = `${Math.max(2, 56 * Number(bar.dataset.share))}px`;
  if (same) [...facets.querySelectorAll("input, select, button")].find((each) => (same.id ? each.id === same.id : each.name === same.name && (same.value === null || each.value === same.value)))?.focus();
}

function narrowed(form) {
  const sides = [...form.querySelectorAll("[data-side]")].map((side) => side.value.trim());
  const box = form.elements.namedItem("box");
  if (sides.length && box) box.value = sides.every((side) => side === "") ? "" : sides.join(",");
  const params = new URLSearchParams();
  for (const [name, value] of new FormData(form)) if (value !== "" || name.startsWith("is.")) params.append(name, String(value));
  document.dispatchEvent(new CustomEvent("narrow", { detail: { query: params.toString() } }));
}

facets.addEventListener("submit", (event) => { event.preventDefault(); narrowed(event.target); });
facets.addEventListener("change", (event) => {
  const { target } = event;
  if (target.id === "column") { if (target.value) { columns.add(target.value); showFacets(view); } return; }
  if (target.matches("[type=checkbox], select")) narrowed(target.form);
});
facets.addEventListener("click", (event) => {
  const bar = event.target.closest(".bar-of"), drop = event.target.closest("[data-drop-column]");
  const form = event.target.closest("form");
  if (bar) {
    form.elements.namedItem("from").value = bar.dataset.from;
    form.elements.namedItem("to").value = bar.dataset.to;
    narrowed(form);
  }
  if (drop) {
    columns.delete(drop.dataset.dropColumn);
    const chosen = drop.closest(".column").querySelectorAll("input:checked");
    for (const box of chosen) box.checked = false;
    if (chosen.length) narrowed(form); else showFacets(view);
  }
});
