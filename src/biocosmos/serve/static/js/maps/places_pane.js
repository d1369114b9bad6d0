// @ts-check
// The map of places on a page: spots, boxes, what is pointed at, and the time bar.
import { getJSON, postJSON } from "../api.js";
import { getBinary, unbit } from "./binary.js";
import { fetchCoast } from "./coast.js";
import { Outline } from "./outline.js";
import { onTheme } from "./palette.js";
import { PlaceMap } from "./place_map.js";
import { TimeBar } from "./time_bar.js";
import { Tooltip } from "./tooltip.js";

const LISTED = 6, number = new Intl.NumberFormat("en");

export class PlacesPane {
  /** root: of parts/maps.html.j2, places_pane; view: a SharedView. */
  constructor(root, view) {
    Object.assign(this, { root, view, asked: 0, box: null });
    const part = (name) => root.querySelector(`[data-part="${name}"]`);
    this.says = part("says");
    this.canvas = part("canvas");
    this.map = new PlaceMap(this.canvas);
    this.outline = new Outline(part("outline"));
    this.tooltip = new Tooltip(part("tooltip"), (points) => this.#about(points));
    this.tools = root.querySelector(".map-tools");
    this.numbers = part("numbers");
    this.time = new TimeBar(document.querySelector("#time"), view);
    this.#dress();
    this.#listen(part);
    fetchCoast(root.dataset.coast).then((coast) => { this.map.coast = coast; this.map.draw(); });
  }

  #about(points) { return `/api/places/specimens?${new URLSearchParams([["mark", this.header.mark], ...points.map((point) => ["at", point])])}`; }

  #listen(part) {
    const { map } = this;
    map.addEventListener("hover", ({ detail: { spot, px, py } }) => {
      this.canvas.dataset.hover = spot;
      this.canvas.classList.toggle("pointing", spot >= 0);
      if (spot < 0) { this.tooltip.hide(); return; }
      const { bins } = map, count = bins.count[spot], has = bins.has[spot];
      const head = count === 1 ? null : has === count ? `${number.format(count)} specimens` : `${number.format(has)} of ${number.format(count)} specimens`;
      this.tooltip.show(bins.members(spot, LISTED), px, py, head);
    });
    map.addEventListener("open", ({ detail: { spot } }) => this.#open(spot));
    map.addEventListener("view", () => { this.tooltip.hide(); this.#outlineKept(); });
    map.addEventListener("painted", () => { this.canvas.dataset.painted = String(Number(this.canvas.dataset.painted ?? 0) + 1); });
    map.addEventListener("box", ({ detail: { box, done } }) => {
      this.outline.show("drawn", done ? null : this.#corners(box));
      if (!done) return;
      this.boxing(false); // and on with moving
      this.select({ box: this.#rounded(box) });
    });
    this.time.addEventListener("dates", ({ detail: { dates } }) => this.select({ dates: dates ?? [null, null] }));
    this.tools.addEventListener("click", (event) => this.#tool(event.target.closest("button")?.dataset.tool));
    part("screen").addEventListener("click", () => this.select({ box: this.#rounded(map.window()) }));
    this.numbers.addEventListener("submit", (event) => {
      event.preventDefault();
      let [west, south, east, north] = ["west", "south", "east", "north"].map((name) => Number(this.numbers.elements[name].value));
      if (east < west) east += 360;
      this.select({ box: [west, south, east, north] });
    });
    onTheme(() => this.#dress());
    for (const name of ["labelled", "undone"]) document.addEventListener(name, () => { this.tooltip.forget(); this.#mask(); this.time.refresh(); });
    this.view.addEventListener("view", () => this.#mask());
  }

  #dress() {
    const style = getComputedStyle(this.root), ink = (name) => style.getPropertyValue(name).trim();
    this.map.colour({ sea: ink("--map-sea"), land: ink("--map-land"), rule: ink("--map-rule"), words: ink("--faint"), has: ink("--map-has"), beside: ink("--map-beside"), over: ink("--map-over"), edge: ink("--paper") });
  }

  #tool(name) {
    const [x, y] = [this.canvas.clientWidth / 2, this.canvas.clientHeight / 2];
    if (name === "closer") this.map.zoom(1.8, x, y);
    if (name === "farther") this.map.zoom(1 / 1.8, x, y);
    if (name === "whole") this.map.reset();
    if (name === "box") this.boxing(!this.map.boxing);
  }

  /** Whether a drag draws a box. */
  boxing(on) {
    this.map.boxing = on;
    this.tools.querySelector('[data-tool="box"]').setAttribute("aria-pressed", String(on));
    this.canvas.classList.toggle("drawing", on);
  }

  /** Fetch and paint. */
  async start() {
    performance.mark("places-asked");
    const [points] = await Promise.all([getBinary("/api/places/points"), this.#mask(true), this.time.refresh()]);
    this.header = points.header;
    this.map.load(points);
    if (this.shown) this.map.show(this.shown);
    this.#tell();
    this.#outlineKept();
    return this;
  }

  async #mask(first = false) {
    const mine = ++this.asked;
    const answer = await getBinary(this.view.at("/api/places/mask")).catch(() => null);
    if (!answer || mine !== this.asked) return;
    this.of = answer.header;
    this.shown = this.of.on_map === this.of.count ? null : unbit(answer.bits, this.of.count);
    this.view.dispatchEvent(new CustomEvent("told", { detail: this.of }));
    if (first || !this.map.points) return;
    this.map.show(this.shown);
    this.#tell();
    this.#outlineKept();
  }

  #tell() {
    const { header, of } = this, parts = [`${number.format(of?.on_map ?? header.count)} of ${number.format(header.count)} specimens with a place`];
    if (header.without) parts.push(`${number.format(header.without)} have none`);
    this.says.textContent = parts.join(" · ");
  }

  /** Make box or dates those of the view. */
  async select(changes) {
    const { view } = await postJSON("/api/places/select", { view: this.view.query, ...changes });
    this.view.set(view);
  }

  /** A box in no more digits than the screen can tell. */
  #rounded(box) {
    const digits = Math.min(6, Math.max(0, Math.ceil(Math.log10(this.map.camera.scale))));
    return box.map((degrees) => Number(degrees.toFixed(digits)));
  }

  #corners(box) {
    if (!box) return null;
    let [west, south, east, north] = box;
    if (east < west) east += 360;
    const [left, top] = this.map.toScreen(west, north), bottom = this.map.toScreen(west, south)[1], right = left + (east - west) * this.map.wide;
    return [[left, top], [right, top], [right, bottom], [left, bottom]];
  }

  #outlineKept() {
    const box = this.of?.box ?? null;
    this.outline.show("kept", this.#corners(box));
    if (box && box !== this.box) ["west", "south", "east", "north"].forEach((name, i) => { this.numbers.elements[name].value = String(box[i]); });
    this.box = box;
  }

  /** One specimen is opened; of many the place is selected. */
  async #open(spot) {
    const { bins, points } = this.map;
    if (bins.count[spot] > 1) {
      let [west, south, east, north] = [180, 90, -180, -90];
      for (const i of bins.members(spot)) {
        west = Math.min(west, points.longitude[i]); east = Math.max(east, points.longitude[i]);
        south = Math.min(south, points.latitude[i]); north = Math.max(north, points.latitude[i]);
      }
      const edge = 1e-4;
      await this.select({ box: [Math.max(-180, west - edge), Math.max(-90, south - edge), Math.min(180, east + edge), Math.min(90, north + edge)] });
      return;
    }
    const { specimens } = await getJSON(this.#about(bins.members(spot, 1)));
    if (specimens[0]) location.assign(this.view.at("/specimen", { id: specimens[0].id }));
  }
}
