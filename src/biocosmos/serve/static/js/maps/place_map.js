// @ts-check
// Places on the land of the world: equirectangular, as one comes closer with the width of a degree at that latitude.
// Longitudes go around: points are drawn on whichever side of 180 degrees is nearer to the middle.
import { Bins, cellsOf, FIRST, LEVELS } from "./bins.js";
import { Hands } from "./hands.js";

const CELL = 44, CLOSEST = 60_000; // CSS pixels of a cell at most, and of a degree
const SMALL = 4, LARGE = 16; // radius of one specimen, and of very many
const RULES = [90, 60, 30, 10, 5, 2, 1, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01];
const compact = new Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 2 });
const short = (count) => (count < 1000 ? String(count) : compact.format(count));

/** Longitude brought to -180..180. */
export const around = (degrees) => ((degrees + 180) % 360 + 360) % 360 - 180;

/** Sends "view", "hover" {spot, px, py}, "open" {spot}, "box" {corners in degrees, done}, "painted". */
export class PlaceMap extends EventTarget {
  constructor(canvas) {
    super();
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
    this.points = null;
    this.coast = null;
    this.made = null;
    this.camera = { longitude: 0, latitude: 0, scale: 2 };
    this.boxing = false;
    this.hovered = -1;
    this.inks = {};
    this.hands = new Hands(canvas, this, (event) => this.boxing || event.shiftKey);
    canvas.addEventListener("blur", () => this.leave());
    new ResizeObserver(() => this.#resized()).observe(canvas);
    this.#resized();
  }

  /** longitude, latitude: Float32Array in degrees. */
  load({ longitude, latitude }) {
    this.points = { longitude, latitude, shown: null };
    this.made = null;
    this.home = home(longitude, latitude);
    this.reset();
  }

  show(shown) { this.points.shown = shown; this.draw(); }

  /** Colours: sea, land, rule, has, beside, ink (over `has`), edge. */
  colour(inks) { this.inks = inks; this.draw(); }

  // ---------------------------------------------------------------- camera

  /** CSS pixels of a degree of longitude. */
  get wide() {
    const near = Math.min(1, Math.max(0, Math.log2(this.camera.scale / this.least) / 3));
    return this.camera.scale * (1 - near + near * Math.max(0.05, Math.cos(this.camera.latitude * Math.PI / 180)));
  }

  get least() { return Math.max(0.4, Math.min(this.canvas.clientWidth / 360, this.canvas.clientHeight / 180)); }

  toScreen(longitude, latitude) {
    const { clientWidth: width, clientHeight: height } = this.canvas;
    return [around(longitude - this.camera.longitude) * this.wide + width / 2, (this.camera.latitude - latitude) * this.camera.scale + height / 2];
  }

  /** Longitude is not brought back: it is less than -180 or more than 180 beyond the edge. */
  toDegrees(px, py) {
    const { clientWidth: width, clientHeight: height } = this.canvas;
    return [(px - width / 2) / this.wide + this.camera.longitude, this.camera.latitude - (py - height / 2) / this.camera.scale];
  }

  pan(dx, dy) {
    const { camera } = this;
    camera.longitude = around(camera.longitude - dx / this.wide);
    camera.latitude = Math.min(90, Math.max(-90, camera.latitude + dy / camera.scale));
    this.#moved();
  }

  zoom(factor, px, py) {
    const [longitude, latitude] = this.toDegrees(px, py), { camera } = this;
    camera.scale = Math.min(CLOSEST, Math.max(this.least, camera.scale * factor));
    for (let turn = 0; turn < 2; turn++) { // the width of a degree depends on where the middle comes to lie
      const [now, there] = this.toDegrees(px, py);
      camera.longitude = around(camera.longitude + longitude - now);
      camera.latitude = Math.min(90, Math.max(-90, camera.latitude + latitude - there));
    }
    this.#moved();
  }

  reset() {
    const { longitude, latitude, width, height } = this.home ?? { longitude: 0, latitude: 0, width: 360, height: 180 };
    const across = this.canvas.clientWidth / (width * 1.25 + 0.02), up = this.canvas.clientHeight / (height * 1.25 + 0.02);
    this.camera = { longitude, latitude, scale: Math.min(2000, Math.max(this.least, Math.min(across, up))) };
    this.#moved();
    this.whole = true;
  }

  /** [west, south, east, north] of what is on the screen; east may be above 180. */
  window() {
    const [west, north] = this.toDegrees(0, 0), [east, south] = this.toDegrees(this.canvas.clientWidth, this.canvas.clientHeight);
    return [west, Math.max(-90, south), Math.min(east, west + 360), Math.min(90, north)];
  }

  // ---------------------------------------------------------------- spots

  /** Spots at this scale, made anew when the map comes to where they do not reach. */
  get bins() {
    const level = Math.min(LEVELS - 1, Math.max(0, Math.ceil(Math.log2(this.camera.scale * FIRST / CELL)))), window = this.window();
    if (!this.made?.serves(level, window)) this.made = new Bins(this.points.longitude, this.points.latitude, level, cellsOf(window, level));
    this.made.show(this.points.shown);
    return this.made;
  }

  /** [spot, x, y] of what is on the screen, the largest first. */
  #visible() {
    const { bins, camera, wide } = this, { clientWidth: width, clientHeight: height } = this.canvas, found = [];
    for (const spot of bins.order) {
      const y = (camera.latitude - bins.latitude[spot]) * camera.scale + height / 2;
      if (y < -LARGE || y > height + LARGE) continue;
      const x = around(bins.longitude[spot] - camera.longitude) * wide + width / 2;
      if (x >= -LARGE && x <= width + LARGE) found.push([spot, x, y]);
    }
    return found;
  }

  #radius(count) { return Math.min(LARGE, SMALL + 1.3 * Math.log2(count)); }

  pick(px, py, reach = 4) {
    if (!this.points?.longitude.length) return -1;
    const { bins } = this;
    let best = -1, least = Infinity;
    for (const [spot, x, y] of this.#visible()) {
      const far = Math.hypot(x - px, y - py) - (bins.has[spot] ? 3 : 0);
      if (far < least && far <= this.#radius(bins.count[spot]) + reach) { best = spot; least = far; }
    }
    return best;
  }

  hover(px, py) { this.#hovered(this.boxing ? -1 : this.pick(px, py)); }

  leave() { this.#hovered(-1); }

  aim(px, py) { this.#hovered(this.pick(px, py, 40)); }

  tap(px, py, touch, keys = false) {
    const spot = this.pick(px, py, touch ? 14 : keys ? 40 : 4);
    if (touch && spot !== this.hovered) { this.#hovered(spot); return; }
    if (spot >= 0) this.dispatchEvent(new CustomEvent("open", { detail: { spot } }));
  }

  trace(points, done) {
    if (!points) { this.dispatchEvent(new CustomEvent("box", { detail: { box: null, done } })); return; }
    const [a, b] = [this.toDegrees(...points[0]), this.toDegrees(...points.at(-1))];
    const box = [Math.min(a[0], b[0]), Math.min(a[1], b[1]), Math.max(a[0], b[0]), Math.max(a[1], b[1])];
    this.dispatchEvent(new CustomEvent("box", { detail: { box, done: done && Math.hypot(points[0][0] - points.at(-1)[0], points[0][1] - points.at(-1)[1]) > 4 } }));
  }

  #hovered(spot) {
    if (spot === this.hovered) return;
    this.hovered = spot;
    const [px, py] = spot < 0 ? [0, 0] : this.toScreen(this.bins.longitude[spot], this.bins.latitude[spot]);
    this.dispatchEvent(new CustomEvent("hover", { detail: { spot, px, py } }));
  }

  // ---------------------------------------------------------------- painting

  #resized() {
    const ratio = this.ratio = Math.min(devicePixelRatio || 1, 3), { clientWidth: width, clientHeight: height } = this.canvas;
    [this.canvas.width, this.canvas.height] = [Math.max(1, Math.round(width * ratio)), Math.max(1, Math.round(height * ratio))];
    if (this.whole) { this.reset(); return; } // all of it was shown: still so
    this.camera.scale = Math.max(this.camera.scale, this.least);
    this.dispatchEvent(new Event("view"));
    this.draw();
  }

  #moved() {
    this.whole = false;
    this.hovered = -1;
    this.dispatchEvent(new Event("view"));
    this.draw();
  }

  draw() {
    if (this.waiting) return;
    this.waiting = requestAnimationFrame(() => {
      this.waiting = 0;
      this.#ground();
      if (this.points) this.#spots();
      this.dispatchEvent(new Event("painted"));
    });
  }

  #ground() {
    const { context, camera, ratio, inks } = this, { clientWidth: width, clientHeight: height } = this.canvas;
    const top = Math.max(0, this.toScreen(0, 90)[1]), bottom = Math.min(height, this.toScreen(0, -90)[1]);
    const left = Math.max(0, width / 2 - 180 * this.wide), right = Math.min(width, width / 2 + 180 * this.wide);
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, height);
    context.fillStyle = inks.sea ?? "#eef";
    context.fillRect(left, top, right - left, bottom - top);
    context.save(); // once around the globe, not more
    context.beginPath();
    context.rect(left, top, right - left, bottom - top);
    context.clip();
    if (this.coast) {
      context.fillStyle = inks.land;
      const path = camera.scale > 9 ? this.coast.fine : this.coast.coarse;
      for (const turn of [-360, 0, 360]) {
        const from = (turn - 180 - camera.longitude) * this.wide + width / 2;
        if (from > width || from + 360 * this.wide < 0) continue;
        context.setTransform(ratio * this.wide, 0, 0, -ratio * camera.scale, ratio * (from + 180 * this.wide), ratio * (camera.latitude * camera.scale + height / 2));
        context.fill(path, "evenodd");
      }
      context.setTransform(ratio, 0, 0, ratio, 0, 0);
    }
    this.#rules(left, right, top, bottom, width, height);
    context.restore();
  }

  /** Lines of longitude and latitude, with their degrees. */
  #rules(left, right, top, bottom, width, height) {
    const { context, inks, camera } = this, wide = this.wide;
    const fine = (scale, room) => RULES.findLast((step) => step * scale >= room) ?? RULES[0];
    const [across, up] = [fine(wide, 74), fine(camera.scale, 60)];
    const [[west, north], [east, south]] = [this.toDegrees(left, top), this.toDegrees(right, bottom)];
    context.strokeStyle = inks.rule;
    context.fillStyle = inks.words;
    context.lineWidth = 1;
    context.font = "11px system-ui, sans-serif";
    context.beginPath();
    const named = (degrees, letters, every) => `${Math.abs(degrees).toFixed(every < 1 ? String(every).length - 2 : 0)}°${degrees % 180 === 0 ? "" : letters[degrees > 0 ? 0 : 1]}`;
    for (let at = Math.ceil(west / across) * across, n = 0; at <= east && n < 60; at += across, n++) {
      const x = Math.round((at - camera.longitude) * wide + width / 2) + 0.5;
      context.moveTo(x, 0);
      context.lineTo(x, height);
      context.fillText(named(Number(around(at).toFixed(6)), "EW", across), x + 3, bottom - 5);
    }
    for (let at = Math.ceil(south / up) * up, n = 0; at <= north && n < 60; at += up, n++) {
      const y = Math.round((camera.latitude - at) * camera.scale + height / 2) + 0.5;
      context.moveTo(left, y);
      context.lineTo(width, y);
      context.fillText(named(Number(at.toFixed(6)), "NS", up), left + 4, y - 3);
    }
    context.stroke();
  }

  #spots() {
    const { context, bins, inks } = this, visible = this.#visible();
    context.textAlign = "center";
    context.textBaseline = "middle";
    context.strokeStyle = inks.edge;
    for (const has of [false, true]) {
      for (const [spot, x, y] of visible) {
        if (Boolean(bins.has[spot]) !== has) continue;
        const count = has ? bins.has[spot] : bins.count[spot], radius = this.#radius(count);
        context.fillStyle = has ? inks.has : inks.beside;
        context.beginPath();
        context.arc(x, y, radius, 0, 7);
        context.fill();
        context.stroke();
        if (!has || count < 2 || radius < 8) continue;
        context.fillStyle = inks.over;
        context.font = `600 ${radius > 11 ? 11 : 10}px system-ui, sans-serif`;
        context.fillText(short(count), x, y + 0.5);
      }
    }
    context.textAlign = "start";
    context.textBaseline = "alphabetic";
  }
}

/** The least window of longitudes and latitudes that holds all points, across 180 degrees where that is less. */
function home(longitude, latitude) {
  if (!longitude.length) return { longitude: 0, latitude: 0, width: 360, height: 180 };
  const taken = new Uint8Array(360);
  let [low, high] = [90, -90];
  for (let i = 0; i < longitude.length; i++) {
    taken[Math.min(359, Math.floor(longitude[i] + 180))] = 1;
    low = Math.min(low, latitude[i]);
    high = Math.max(high, latitude[i]);
  }
  let gap = 0, after = 0;
  for (let start = 0; start < 360; start++) {
    if (!taken[start]) continue;
    let empty = 0;
    while (empty < 359 && !taken[(start + 1 + empty) % 360]) empty++;
    if (empty > gap) { gap = empty; after = start + 1 + empty; }
  }
  const width = gap ? 360 - gap : 360, west = gap ? after - 180 : -180;
  return { longitude: around(west + width / 2), latitude: (low + high) / 2, width, height: Math.max(high - low, 0.5) };
}
