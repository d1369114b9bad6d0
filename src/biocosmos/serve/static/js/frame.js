// What every page has: theme, keys, menus that close, the side that is folded on a phone.
import { showKeys } from "./keys.js";

document.getElementById("show-keys")?.addEventListener("click", showKeys);

document.getElementById("theme")?.addEventListener("click", () => {
  const root = document.documentElement;
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  try { localStorage.setItem("theme", root.dataset.theme); } catch { /* a browser that keeps nothing */ }
});

const pages = document.querySelector(".pages"), here = pages?.querySelector("[aria-current]"); // on a phone they are wider than the screen
if (here) pages.scrollLeft = here.offsetLeft - pages.offsetLeft - (pages.clientWidth - here.offsetWidth) / 2;

const fold = document.querySelector(".side-fold");
if (fold && matchMedia("(max-width: 760px)").matches) fold.open = false;

document.addEventListener("click", (event) => {
  for (const menu of document.querySelectorAll("details.menu[open]")) if (!menu.contains(event.target)) menu.open = false;
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") for (const menu of document.querySelectorAll("details.menu[open]")) menu.open = false;
});
