// The taxa that were used last, per browser: keys 1 to 9.
import { onKey } from "./keys.js";

const KEY = "recent-taxa:" + document.title.split(" · ").at(-1);
const MOST = 9;

/** [{taxon, rank, path, used}], in the order of their keys; used: higher where used later. */
export function recentTaxa() {
  try {
    const kept = JSON.parse(localStorage.getItem(KEY) ?? "[]");
    return Array.isArray(kept) ? kept.filter((each) => typeof each?.taxon === "string").slice(0, MOST) : [];
  } catch { return []; }
}

/** Remember a taxon. A key keeps its taxon, so that fingers learn it; when all are taken, a new one takes the key that was not used for longest. */
export function remember({ taxon, rank = null, path = "" }) {
  const kept = recentTaxa();
  const used = Math.max(0, ...kept.map((each) => each.used ?? 0)) + 1;
  const known = kept.find((each) => each.taxon === taxon && each.rank === rank);
  const fresh = { taxon, rank, path, used };
  if (known) known.used = used;
  else if (kept.length < MOST) kept.push(fresh);
  else kept[kept.reduce((least, each, at) => ((each.used ?? 0) < (kept[least].used ?? 0) ? at : least), 0)] = fresh;
  try { localStorage.setItem(KEY, JSON.stringify(kept)); } catch { /* a browser that keeps nothing */ }
  document.dispatchEvent(new Event("recent"));
}

/** Show them as buttons in `box`, each with its key, and again when they change. name(taxon, event): what a button does. */
export function recentButtons(box, name) {
  const draw = () => box.replaceChildren(...recentTaxa().map((taxon, number) => {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "quiet";
    button.title = [taxon.rank, taxon.path].filter(Boolean).join(" · ");
    const key = document.createElement("kbd");
    key.textContent = String(number + 1);
    button.append(key, ` ${taxon.taxon}`);
    button.addEventListener("click", (event) => name(taxon, event));
    return button;
  }));
  document.addEventListener("recent", draw);
  draw();
}

/** Keys 1 to 9. says: what they do; name(taxon): may return false, not used. */
export function recentKeys(says, name) {
  for (let number = 0; number < MOST; number++) {
    onKey(String(number + 1), number ? "" : `1–9: ${says}`, () => { const taxon = recentTaxa()[number]; return taxon ? name(taxon) : false; });
  }
}
