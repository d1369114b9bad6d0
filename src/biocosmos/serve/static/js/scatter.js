// @ts-check
// A scatter plot of up to millions of points on a plane of 0..65535 units: pan, zoom, pick. No library.
import { FlatPainter } from "./maps/flat_painter.js";
import { GLPainter } from "./maps/gl_painter.js";
import { Hands } from "./maps/hands.js";
import { Near } from "./maps/near.js";

const REACH = 12, SETTLE = 160, FRAME = 30; // pixels around the pointer; milliseconds of rest, and of a frame that moves
const MARGIN = 1.06, CLOSEST = 40; // room around all points; CSS pixels a unit at most

/**
 * Sends: "view" (the camera moved), "hover" {index, px, py} (-1: none), "open" {index}, "lasso" {points, done} in units,
 * "painted" (all points stand on the screen), "painter" (after a loss). `kind`: "WebGL2" or "canvas".
 */
export class Scatter extends EventTarget {
  /** canvas: a block of its own; flat: do without WebGL2. */
  constructor(canvas, { flat = false } = {}) {
    super();
    this.canvas = canvas;
    this.painter = (flat ? null : GLPainter.of(canvas)) ?? FlatPainter.of(canvas);
    this.points = null;
    this.look = { colours: [], beside: [0.7, 0.7, 0.7, 1] };
    this.camera = { x: 32768, y: 32768, scale: 0.01 };
    this.lassoing = false;
    this.hands = new Hands(canvas, this, (event) => this.lassoing || event.shiftKey);
    canvas.addEventListener("webglcontextlost", (event) => { event.preventDefault(); this.painter.lost = true; });
    canvas.addEventListener("webglcontextrestored", () => { this.painter.restore(); this.dispatchEvent(new Event("painter")); this.draw(); });
    canvas.addEventListener("blur", () => this.leave());
    new ResizeObserver(() => this.#resized()).observe(canvas);
    this.#resized();
  }

  get kind() { return this.painter.kind; }

  /** Take points: x, y, code (Uint16Array), bounds [west, south, east, north]. */
  load({ x, y, code, bounds }) {
    this.points = { x, y, code, shown: null };
    this.bounds = bounds;
    this.near = null;
    this.painter.load(this.points);
    this.reset();
  }

  /** Other classes for the same points. */
  recode(code) { this.points.code = code; this.painter.load(this.points); this.draw(); }

  /** Which points the view has (Uint8Array, or null for all); the others turn grey. */
  show(shown) { this.points.shown = shown; this.painter.load(this.points); this.draw(); }

  /** Colours by class, [r, g, b] or null for a class that is hidden; beside: of points that the view does not have. */
  colour(colours, beside) { this.look = { colours, beside }; this.draw(); }

  // ---------------------------------------------------------------- camera (CSS pixels)

  toScreen(x, y) {
    const { clientWidth: width, clientHeight: height } = this.canvas;
    return [(x - this.camera.x) * this.camera.scale + width / 2, (this.camera.y - y) * this.camera.scale + height / 2];
  }

  toUnits(px, py) {
    const { clientWidth: width, clientHeight: height } = this.canvas;
    return [(px - width / 2) / this.camera.scale + this.camera.x, this.camera.y - (py - height / 2) / this.camera.scale];
  }

  pan(dx, dy) {
    this.camera.x = within(this.camera.x - dx / this.camera.scale, this.bounds?.[0] ?? 0, this.bounds?.[2] ?? 65535);
    this.camera.y = within(this.camera.y + dy / this.camera.scale, this.bounds?.[1] ?? 0, this.bounds?.[3] ?? 65535);
    this.#moved();
  }

  zoom(factor, px, py) {
    const [x, y] = this.toUnits(px, py);
    this.camera.scale = within(this.camera.scale * factor, this.whole / 4, CLOSEST);
    const [now, there] = this.toUnits(px, py);
    this.camera.x += x - now;
    this.camera.y += y - there;
    this.pan(0, 0);
  }

  /** All points, in the middle. */
  reset() {
    const [west, south, east, north] = this.bounds ?? [0, 0, 65535, 65535];
    this.camera = { x: (west + east) / 2, y: (south + north) / 2, scale: this.whole };
    this.#moved();
  }

  /** The scale at which all points fit in. */
  get whole() {
    const [west, south, east, north] = this.bounds ?? [0, 0, 65535, 65535];
    const { clientWidth: width, clientHeight: height } = this.canvas;
    return Math.max(1e-4, Math.min(width / Math.max(east - west, 64), height / Math.max(north - south, 64)) / MARGIN);
  }

  /** [west, south, east, north] of what is on the screen, in units. */
  window() {
    const [west, north] = this.toUnits(0, 0), [east, south] = this.toUnits(this.canvas.clientWidth, this.canvas.clientHeight);
    return [west, south, east, north];
  }

  // ---------------------------------------------------------------- picking

  /** The point nearest to a place on the screen, -1 for none: one that the view has before one that it has not. */
  pick(px, py, reach = REACH) {
    if (!this.points?.x.length) return -1;
    this.near ??= new Near(this.points.x, this.points.y, this.bounds);
    const [x, y] = this.toUnits(px, py), radius = reach / this.camera.scale;
    const { code, shown } = this.points, { colours } = this.look;
    const coloured = (i) => Boolean(colours[code[i]]);
    const found = this.near.nearest(x, y, radius, (i) => coloured(i) && (!shown || shown[i] === 1));
    return found >= 0 || !shown ? found : this.near.nearest(x, y, radius, coloured);
  }

  hover(px, py) { this.#hovered(this.lassoing ? -1 : this.pick(px, py)); }

  leave() { this.#hovered(-1); }

  /** By keys: what lies in the middle is what is pointed at. */
  aim(px, py) { this.#hovered(this.pick(px, py, 60)); }

  tap(px, py, touch, keys = false) {
    const index = this.pick(px, py, touch ? 24 : keys ? 60 : REACH);
    // a finger does not hover: its first tap shows, its second opens
    if (touch && index !== this.hovered) { this.#hovered(index); return; }
    if (index >= 0) this.dispatchEvent(new CustomEvent("open", { detail: { index } }));
  }

  /** What a drag with the lasso has drawn so far; null: nothing after all. */
  trace(points, done) { this.dispatchEvent(new CustomEvent("lasso", { detail: { points: points?.map(([px, py]) => this.toUnits(px, py)) ?? null, done } })); }

  #hovered(index) {
    if (index === this.hovered) return;
    this.hovered = index;
    const at = index < 0 ? [0, 0] : this.toScreen(this.points.x[index], this.points.y[index]);
    this.dispatchEvent(new CustomEvent("hover", { detail: { index, px: at[0], py: at[1] } }));
  }

  // ---------------------------------------------------------------- painting

  #resized() {
    const ratio = Math.min(window.devicePixelRatio || 1, 3), { clientWidth: width, clientHeight: height } = this.canvas;
    const was = this.fitted;
    [this.canvas.width, this.canvas.height] = [Math.max(1, Math.round(width * ratio)), Math.max(1, Math.round(height * ratio))];
    this.ratio = ratio;
    this.fitted = this.whole;
    if (was && Math.abs(this.camera.scale / was - 1) < 1e-6) this.camera.scale = this.fitted; // all of it was shown: still so
    this.dispatchEvent(new Event("view"));
    this.draw();
  }

  #moved() {
    this.moving = performance.now();
    this.dispatchEvent(new Event("view"));
    this.draw();
  }

  /** Paint at the next frame: all points, or while the map moves as many as a frame has time for. */
  draw() {
    if (this.waiting || !this.points) return;
    this.waiting = requestAnimationFrame(() => {
      this.waiting = 0;
      if (this.painter.lost) return;
      const { count, milliseconds } = this.painter, still = performance.now() - (this.moving ?? -1e9) > SETTLE;
      const most = still || !milliseconds ? Infinity : Math.max(20_000, count * FRAME / milliseconds);
      const all = most >= count;
      if (!this.painter.paint({ ...this.camera, scale: this.camera.scale * this.ratio }, this.#dressed(), most, all)) return;
      clearTimeout(this.resting);
      if (all) this.dispatchEvent(new Event("painted"));
      else this.resting = setTimeout(() => this.draw(), SETTLE + 20);
    });
  }

  /** Sizes and opacity: larger as one comes closer, thinner where many points share few pixels. */
  #dressed() {
    const n = Math.max(1, this.points.x.length), closer = Math.max(1, this.camera.scale / this.whole);
    const base = Math.min(7, Math.max(1.6, 900 / Math.sqrt(n) / 3));
    const size = Math.min(16, base * closer ** 0.35);
    const pixels = this.canvas.clientWidth * this.canvas.clientHeight * 0.25;
    const alpha = Math.min(0.92, Math.max(0.22, 1.6 * pixels * closer * closer / (n * size * size)));
    const { colours, beside } = this.look;
    return {
      colours: Array.from({ length: 34 }, (_, code) => (colours[code] ? [...colours[code], alpha] : [0, 0, 0, 0])),
      beside: [...beside.slice(0, 3), Math.min(0.6, alpha)],
      size: size * this.ratio,
      besideSize: Math.max(1, size * 0.7) * this.ratio,
    };
  }
}

const within = (value, low, high) => Math.min(Math.max(value, low), high);
