// The taxa that were used last, per browser: keys 1 to 9.
const KEY = "recent-taxa:" + document.title.split(" · ").at(-1);
const MOST = 9;

/** [{taxon, rank, path}], the last one first. */
export function recentTaxa() {
  try {
    const kept = JSON.parse(localStorage.getItem(KEY) ?? "[]");
    return Array.isArray(kept) ? kept.filter((each) => typeof each?.taxon === "string").slice(0, MOST) : [];
  } catch { return []; }
}

/** Remember a taxon; one that is there keeps its key, so that fingers learn it. */
export function remember({ taxon, rank = null, path = "" }) {
  const kept = recentTaxa();
  if (!kept.some((each) => each.taxon === taxon && each.rank === rank)) {
    if (kept.length === MOST) kept.pop();
    kept.unshift({ taxon, rank, path });
  }
  try { localStorage.setItem(KEY, JSON.stringify(kept)); } catch { /* a browser that keeps nothing */ }
  document.dispatchEvent(new Event("recent"));
}
