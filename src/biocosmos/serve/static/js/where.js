// Explore: the charts of where and when, drawn by the server when they are opened and again when the view is another.
import { piece } from "./fragment.js";

const fold = document.getElementById("where");
let asked = null, shown = null, asking = new AbortController();

async function draw() {
  if (!fold?.open || shown === asked) return;
  asking.abort();
  asking = new AbortController();
  const query = asked, body = fold.querySelector("[data-part=body]");
  body.setAttribute("aria-busy", "true");
  const got = await piece(`/explore/where?${query}`, { signal: asking.signal });
  if (query !== asked) return;
  body.removeAttribute("aria-busy");
  if (!got) return;
  shown = query;
  body.replaceChildren(...got.body.children);
}

/** Show those of a view, by its query; as soon as they are opened. */
export function showWhere(query) {
  asked = query;
  draw();
}

const OPEN = "where-open";
fold?.addEventListener("toggle", () => {
  try { sessionStorage.setItem(OPEN, fold.open ? "1" : ""); } catch { /* a browser that keeps nothing */ }
  draw();
});
try { if (fold && sessionStorage.getItem(OPEN)) fold.open = true; } catch { /* it stays closed */ }
