// @ts-check
// A page with one of the maps, or with both side by side: they show the same view, and what is selected on one turns the rest
// grey on the other.
import { Actions } from "./actions.js";
import { offerJob } from "./empty_map.js";
import { LikenessPane } from "./likeness_pane.js";
import { narrow } from "./narrow.js";
import { PlacesPane } from "./places_pane.js";
import { SharedView } from "./shared_view.js";
import { onKey } from "../keys.js";

const PANES = { likeness: LikenessPane, places: PlacesPane };

/** first: "likeness" or "places", the map that the page is about. */
export function start(first) {
  const page = document.querySelector("#maps");
  for (const empty of document.querySelectorAll("[data-offer]")) offerJob(empty);
  const view = new SharedView(page.dataset.query, { by: page.dataset.by, flat: new URLSearchParams(location.search).get("flat") });
  new Actions(page.querySelector("[data-actions]"), page.querySelector("[data-chips]"), view);
  const beside = document.querySelector("[data-narrow]");
  if (beside) narrow(beside, view);
  const colours = document.querySelector('[data-test="colours"]');
  if (colours && matchMedia("(max-width: 760px)").matches) page.querySelector('[data-pane="likeness"]')?.append(colours); // not in the folded side
  const started = {};
  const open = (name) => {
    const root = page.querySelector(`[data-pane="${name}"]`);
    if (!root) return;
    root.hidden = false;
    started[name] ??= new PANES[name](root, view).start().catch(() => null);
    for (const each of document.querySelectorAll(`[data-with="${name}"]`)) each.hidden = false;
  };
  open(first);
  const second = Object.keys(PANES).find((name) => name !== first), both = page.querySelector("[data-both]");
  const show = (on) => {
    const root = page.querySelector(`[data-pane="${second}"]`);
    if (on) open(second); else if (root) root.hidden = true;
    for (const each of document.querySelectorAll(`[data-with="${second}"]`)) each.hidden = !on;
    page.classList.toggle("two", on);
    both.setAttribute("aria-pressed", String(on));
    try { localStorage.setItem("maps-both", on ? "yes" : ""); } catch { /* a browser that keeps nothing */ }
  };
  if (both) {
    both.addEventListener("click", () => show(both.getAttribute("aria-pressed") !== "true"));
    try { if (localStorage.getItem("maps-both") === "yes" && matchMedia("(min-width: 1000px)").matches) show(true); } catch { /* as above */ }
  }
  onKey("l", "draw a lasso on the map of likeness", async () => { const pane = await started.likeness; pane?.lassoing(!pane.scatter.lassoing); });
  onKey("b", "draw a box on the map of places", async () => { const pane = await started.places; pane?.boxing(!pane.map.boxing); });
  onKey("Escape", "move the map again instead of drawing", async () => { (await started.likeness)?.lassoing(false); (await started.places)?.boxing(false); });
  onKey("+", "on a map: closer; - farther; 0 all of it; arrows move; Enter opens what lies in the middle", () => false);
}
