// The tree at the left: what is below a taxon is fetched when it is opened; what is open stays open in the next view.
import { piece } from "./fragment.js";

const tree = document.getElementById("tree");
let asking = new AbortController();
let view = "";

const opened = () => [...tree.querySelectorAll('.twist[aria-expanded="true"]')].map((twist) => twist.closest("li").dataset.taxon);

/** Show the tree with the counts of a view. */
export async function showTree(query) {
  asking.abort();
  asking = new AbortController();
  view = query;
  const open = opened().slice(0, 100).map((taxon) => `open=${encodeURIComponent(taxon)}`);
  const got = await piece(`/explore/tree?${[query, ...open].filter(Boolean).join("&")}`, { signal: asking.signal });
  if (!got) return;
  const focused = tree.contains(document.activeElement) ? document.activeElement.closest("li")?.dataset.taxon : null;
  const wasLink = document.activeElement?.matches?.("a") ?? false;
  tree.replaceChildren(...got.body.children);
  tree.removeAttribute("aria-busy");
  if (focused) for (const item of tree.querySelectorAll("li")) if (item.dataset.taxon === focused) { item.querySelector(wasLink ? "a" : "button, a")?.focus(); break; }
}

async function twisted(twist) {
  const item = twist.closest("li"), open = twist.getAttribute("aria-expanded") === "true";
  if (open) {
    twist.setAttribute("aria-expanded", "false");
    item.querySelector(":scope > ul")?.remove();
    return;
  }
  twist.setAttribute("aria-expanded", "true");
  const got = await piece(`/explore/tree?${[view, `node=${encodeURIComponent(item.dataset.taxon)}`].filter(Boolean).join("&")}`);
  if (!got || !item.isConnected || twist.getAttribute("aria-expanded") !== "true") return;
  item.querySelector(":scope > ul")?.remove();
  item.append(...got.body.children);
}

tree.addEventListener("click", (event) => {
  const twist = event.target.closest("button.twist");
  if (twist) twisted(twist);
});

tree.addEventListener("keydown", (event) => {
  const item = event.target.closest("li");
  if (!item) return;
  const links = [...tree.querySelectorAll("a")], at = links.indexOf(item.querySelector("a"));
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (step) { links[at + step]?.focus(); event.preventDefault(); return; }
  const twist = item.querySelector(":scope > .branch > button.twist");
  const open = twist?.getAttribute("aria-expanded") === "true";
  if (event.key === "ArrowRight" && twist && !open) { twisted(twist); event.preventDefault(); }
  if (event.key === "ArrowLeft") { if (open) twisted(twist); else item.parentElement.closest("li")?.querySelector("a")?.focus(); event.preventDefault(); }
});
