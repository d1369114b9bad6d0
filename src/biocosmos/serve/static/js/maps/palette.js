// @ts-check
// Colours of classes. The first six are Okabe & Ito's; each of the others lies as far as can be from all before, for people who
// see all colours and for those who lack one (tests/serve/test_maps_colours.py), and stands out from a light and a dark ground.

/** Of at most twenty classes, by count. */
export const CLASSES = [
  "#0072b2", "#e69f00", "#009e73", "#d55e00", "#56b4e9", "#cc79a7", "#9c1830", "#480cf0", "#9c6cfc", "#544878",
  "#90c090", "#c03000", "#cc0ca8", "#9c5460", "#e424d8", "#f06078", "#54ccd8", "#d88430", "#6c4854", "#845484",
];
export const OTHER = 20, NONE = 21, STEPS = 32;
const VIRIDIS = ["#440154", "#472d7b", "#3b528b", "#2c728e", "#21918c", "#28ae80", "#5ec962", "#addc30", "#fde725"];

export const isDark = () => document.documentElement.dataset.theme
  ? document.documentElement.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;

/** [r, g, b] of 0..1 of "#rrggbb". */
export const rgb = (hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16) / 255);

const hex = (parts) => `#${parts.map((part) => Math.round(part * 255).toString(16).padStart(2, "0")).join("")}`;

/** Colour of a class by its code; `kind`: "classes" or "steps". */
export function colourOf(kind, code, dark = isDark()) {
  if (kind === "steps") return code >= STEPS ? (dark ? "#8d9aa2" : "#7b8891") : step(code / (STEPS - 1));
  if (code === OTHER) return dark ? "#c6d0d5" : "#46525a";
  if (code === NONE) return dark ? "#8d9aa2" : "#7b8891";
  return CLASSES[code % CLASSES.length];
}

/** Colour of points that the view does not have. */
export const beside = (dark = isDark()) => (dark ? "#3c4a53" : "#cfd7db");

function step(share) {
  const at = Math.min(Math.max(share, 0), 1) * (VIRIDIS.length - 1);
  const low = Math.min(Math.floor(at), VIRIDIS.length - 2);
  const [a, b] = [rgb(VIRIDIS[low]), rgb(VIRIDIS[low + 1])];
  return hex(a.map((part, i) => part + (b[i] - part) * (at - low)));
}

/** Tell when light turns dark or back. */
export function onTheme(run) {
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", run);
  new MutationObserver(run).observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
}
