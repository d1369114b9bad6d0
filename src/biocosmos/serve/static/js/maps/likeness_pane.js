// @ts-check
// The map of likeness on a page: points, colours, lasso, what is pointed at.
import { getJSON, postJSON } from "../api.js";
import { Scatter } from "../scatter.js";
import { getBinary, unbit } from "./binary.js";
import { Legend } from "./legend.js";
import { Outline, simplified } from "./outline.js";
import { beside, onTheme, rgb } from "./palette.js";
import { Tooltip } from "./tooltip.js";

const number = new Intl.NumberFormat("en");
const UNITS = 65535;

export class LikenessPane {
  /** root: of parts/maps.html.j2, likeness_pane; view: a SharedView. */
  constructor(root, view) {
    Object.assign(this, { root, view, asked: 0 });
    const part = (name) => root.querySelector(`[data-part="${name}"]`);
    this.says = part("says");
    this.canvas = part("canvas");
    this.scatter = new Scatter(this.canvas, { flat: Boolean(view.own.flat) });
    this.outline = new Outline(part("outline"));
    this.tooltip = new Tooltip(part("tooltip"), (indices) => this.#about(indices));
    this.legend = new Legend(document.querySelector("#legend"));
    this.menu = document.querySelector("#colour");
    this.tools = root.querySelector(".map-tools");
    this.#listen(part);
  }

  #about(indices) { return `/api/likeness/specimens?${new URLSearchParams([["plane", this.header.plane], ...indices.map((index) => ["at", index])])}`; }

  #listen(part) {
    const { scatter } = this;
    scatter.addEventListener("hover", ({ detail: { index, px, py } }) => {
      this.canvas.dataset.hover = index;
      this.canvas.classList.toggle("pointing", index >= 0);
      if (index < 0) this.tooltip.hide(); else this.tooltip.show([index], px, py);
    });
    scatter.addEventListener("open", ({ detail: { index } }) => this.open(index));
    scatter.addEventListener("view", () => { this.tooltip.hide(); this.#outlineKept(); });
    scatter.addEventListener("painted", () => this.#painted());
    scatter.addEventListener("lasso", ({ detail: { points, done } }) => this.#lassoing(points, done));
    this.legend.addEventListener("classes", () => this.#dress());
    onTheme(() => { this.legend.paint(); this.#dress(); });
    this.menu.addEventListener("change", () => this.recolour(this.menu.value));
    this.tools.addEventListener("click", (event) => this.#tool(event.target.closest("button")?.dataset.tool));
    part("screen").addEventListener("click", () => this.#rectangle(...scatter.window()));
    part("numbers").addEventListener("submit", (event) => {
      event.preventDefault();
      const field = (name) => Number(event.target.elements[name].value) / 100 * UNITS;
      this.#rectangle(field("left"), field("bottom"), field("right"), field("top"));
    });
    for (const name of ["labelled", "undone"]) document.addEventListener(name, () => { this.tooltip.forget(); this.recolour(this.menu.value); this.#mask(); });
    this.view.addEventListener("view", () => this.#mask());
  }

  #tool(name) {
    const [x, y] = [this.canvas.clientWidth / 2, this.canvas.clientHeight / 2];
    if (name === "closer") this.scatter.zoom(1.6, x, y);
    if (name === "farther") this.scatter.zoom(1 / 1.6, x, y);
    if (name === "whole") this.scatter.reset();
    if (name === "lasso") this.lassoing(!this.scatter.lassoing);
  }

  /** Whether a drag draws a lasso. */
  lassoing(on) {
    this.scatter.lassoing = on;
    this.tools.querySelector('[data-tool="lasso"]').setAttribute("aria-pressed", String(on));
    this.canvas.classList.toggle("drawing", on);
  }

  /** Fetch and paint. */
  async start() {
    performance.mark("map-asked");
    const [points] = await Promise.all([getBinary(`/api/likeness/points?by=${encodeURIComponent(this.menu.value)}`), this.#mask(true)]);
    this.header = points.header;
    const { x, y, code } = points;
    this.legend.show(this.header);
    this.#dress();
    this.scatter.load({ x, y, code, bounds: this.header.bounds });
    if (this.shown) this.scatter.show(this.shown);
    this.#tell();
    this.#outlineKept();
    return this;
  }

  async recolour(by) {
    this.view.put("by", by);
    const { header, code } = await getBinary(`/api/likeness/colours?by=${encodeURIComponent(by)}`);
    if (by !== this.menu.value || header.plane !== this.header.plane) return;
    this.legend.show(header);
    this.scatter.recode(code);
    this.#dress();
  }

  #dress() { if (this.legend.header) this.scatter.colour(this.legend.colours(rgb), rgb(beside())); }

  /** Which points the view has. */
  async #mask(first = false) {
    const mine = ++this.asked;
    const answer = await getBinary(this.view.at("/api/likeness/mask")).catch(() => null);
    if (!answer || mine !== this.asked) return;
    this.of = answer.header;
    this.shown = this.of.on_map === this.of.count ? null : unbit(answer.bits, this.of.count);
    this.view.dispatchEvent(new CustomEvent("told", { detail: this.of }));
    if (first || !this.scatter.points) return;
    this.scatter.show(this.shown);
    this.#tell();
    this.#outlineKept();
  }

  #tell() {
    const { header, of } = this, parts = [`${number.format(of?.on_map ?? header.count)} of ${number.format(header.count)} points`];
    if (header.without) parts.push(`${number.format(header.without)} specimens have no place on this map: they came after it, or have no vector`);
    if (this.scatter.kind !== "WebGL2") parts.push("drawn without WebGL2, which this browser lacks: slower");
    this.says.textContent = parts.join(" · ");
  }

  #painted() {
    this.canvas.dataset.painted = String(Number(this.canvas.dataset.painted ?? 0) + 1);
    this.canvas.dataset.kind = this.scatter.kind;
    if (!performance.getEntriesByName("map-painted").length) performance.mark("map-painted");
  }

  // ---------------------------------------------------------------- lasso

  #lassoing(points, done) {
    this.outline.show("drawn", points?.map(([x, y]) => this.scatter.toScreen(x, y)));
    if (!done) return;
    this.outline.show("drawn", null);
    const path = simplified(points.map(([x, y]) => this.scatter.toScreen(x, y)));
    if (path.length < 3) return;
    this.lassoing(false); // and on with moving
    this.select(path.map(([px, py]) => this.scatter.toUnits(px, py)));
  }

  #rectangle(west, south, east, north) {
    const [left, right] = [Math.min(west, east), Math.max(west, east)], [low, high] = [Math.min(south, north), Math.max(south, north)];
    this.select([[left, low], [right, low], [right, high], [left, high]]);
  }

  /** Make a polygon (in units; null: none) the region of the view. */
  async select(polygon) {
    const { view } = await postJSON("/api/likeness/lasso", { view: this.view.query, polygon });
    this.view.set(view);
  }

  #outlineKept() {
    const region = this.of?.region;
    this.outline.show("kept", region && region.map(([x, y]) => this.scatter.toScreen(x, y)));
  }

  async open(index) {
    const { specimens } = await getJSON(this.#about([index]));
    if (specimens[0]) location.assign(this.view.at("/specimen", { id: specimens[0].id }));
  }
}
