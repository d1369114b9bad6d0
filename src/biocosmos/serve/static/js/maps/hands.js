// @ts-check
// Moving about a map by mouse, touch and keys, and drawing on it. The map says what a movement does:
//   pan(dx, dy), zoom(factor, px, py), reset(), hover(px, py) or leave(), tap(px, py, touch, keys), trace(points, done), aim(px, py)
// px, py: CSS pixels from the upper left corner.

const STEP = 60, FACTOR = 1.35, STILL = 5; // pixels a key moves, factor a key zooms, pixels that are no movement

export class Hands {
  /** canvas: what is taken hold of; map: what moves; drawing(event): whether a drag draws instead of moving. */
  constructor(canvas, map, drawing = () => false) {
    Object.assign(this, { canvas, map, drawing, fingers: new Map(), path: null, moved: 0 });
    canvas.addEventListener("pointerdown", (event) => this.#down(event));
    canvas.addEventListener("pointermove", (event) => this.#move(event));
    for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, (event) => this.#up(event));
    canvas.addEventListener("pointerleave", (event) => { if (event.pointerType === "mouse" && !this.fingers.size) map.leave(); });
    canvas.addEventListener("wheel", (event) => this.#wheel(event), { passive: false });
    canvas.addEventListener("keydown", (event) => this.#key(event));
    canvas.addEventListener("dblclick", (event) => { const [x, y] = this.#at(event); map.zoom(FACTOR * FACTOR, x, y); });
  }

  #at(event) {
    const box = this.canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }

  #down(event) {
    if (event.button !== 0) return;
    this.canvas.setPointerCapture(event.pointerId);
    this.fingers.set(event.pointerId, this.#at(event));
    this.moved = 0;
    if (this.fingers.size === 1 && this.drawing(event)) {
      this.path = [this.#at(event)];
      event.preventDefault();
    } else if (this.path) { this.path = null; this.map.trace(null, false); } // a second finger: pinch, do not draw
  }

  #move(event) {
    const at = this.#at(event), before = this.fingers.get(event.pointerId);
    if (!before) { this.map.hover(...at); return; }
    const dx = at[0] - before[0], dy = at[1] - before[1];
    this.moved += Math.abs(dx) + Math.abs(dy);
    if (this.path) {
      for (const each of event.getCoalescedEvents?.() ?? []) this.path.push(this.#at(each));
      this.path.push(at);
      this.map.trace(this.path, false);
    } else if (this.fingers.size === 2) this.#pinch(event.pointerId, before, at);
    else if (this.fingers.size === 1 && this.moved > STILL) { this.map.leave(); this.map.pan(dx, dy); }
    this.fingers.set(event.pointerId, at);
  }

  #pinch(finger, before, at) {
    const other = [...this.fingers].find(([id]) => id !== finger)[1];
    const far = (a, b) => Math.max(1, Math.hypot(a[0] - b[0], a[1] - b[1]));
    this.map.zoom(far(at, other) / far(before, other), (at[0] + other[0]) / 2, (at[1] + other[1]) / 2);
    this.map.pan((at[0] - before[0]) / 2, (at[1] - before[1]) / 2);
  }

  #up(event) {
    const held = this.fingers.delete(event.pointerId);
    if (!held) return;
    if (this.path) {
      const path = this.path;
      this.path = null;
      this.map.trace(path, event.type === "pointerup");
    } else if (event.type === "pointerup" && this.moved <= STILL && !this.fingers.size) this.map.tap(...this.#at(event), event.pointerType !== "mouse");
  }

  #wheel(event) {
    event.preventDefault();
    const lines = event.deltaMode === 1 ? 18 : event.deltaMode === 2 ? 300 : 1;
    this.map.zoom(Math.exp(-Math.max(-240, Math.min(240, event.deltaY * lines)) / 400), ...this.#at(event));
  }

  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const [x, y] = [this.canvas.clientWidth / 2, this.canvas.clientHeight / 2];
    const acts = {
      "+": () => this.map.zoom(FACTOR, x, y), "=": () => this.map.zoom(FACTOR, x, y), "-": () => this.map.zoom(1 / FACTOR, x, y),
      0: () => this.map.reset(), ArrowLeft: () => this.map.pan(STEP, 0), ArrowRight: () => this.map.pan(-STEP, 0),
      ArrowUp: () => this.map.pan(0, STEP), ArrowDown: () => this.map.pan(0, -STEP), Enter: () => this.map.tap(x, y, false, true),
    };
    if (!(event.key in acts)) return;
    event.preventDefault();
    event.stopPropagation();
    acts[event.key]();
    if (event.key !== "Enter") this.map.aim?.(x, y);
  }
}
