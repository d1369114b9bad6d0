// An image that is zoomed and moved: wheel, drag, two fingers, keys + - 0 and Shift with arrows, double click.

const MOST = 40; // pixels of the screen per pixel of the image
const STEP = 1.3;
const PIXELS_SHOW = 4; // from here on pixels are drawn as squares

/** frame: an element with one <img>. Sends "zoom" with {scale} when it changes; 1 is a pixel of the image per pixel of the page. */
export class Viewer extends EventTarget {
  constructor(frame) {
    super();
    this.frame = frame;
    this.image = frame.querySelector("img");
    this.scale = 1;
    this.x = 0;
    this.y = 0;
    this.fitted = true;
    this.fingers = new Map();
    const ready = () => { frame.classList.add("ready"); this.fit(); };
    if (this.image.complete && this.image.naturalWidth) ready();
    this.image.addEventListener("load", ready);
    new ResizeObserver(() => { if (this.fitted) this.fit(); else this.#draw(); }).observe(frame);
    frame.addEventListener("wheel", (event) => {
      event.preventDefault();
      const lines = event.deltaMode === 1 ? 16 : event.deltaMode === 2 ? 200 : 1;
      this.zoomBy(Math.exp(-event.deltaY * lines * 0.0016), ...this.#at(event));
    }, { passive: false });
    frame.addEventListener("dblclick", (event) => this.zoomBy(STEP * STEP, ...this.#at(event)));
    frame.addEventListener("pointerdown", (event) => this.#down(event));
    frame.addEventListener("pointermove", (event) => this.#move(event));
    for (const end of ["pointerup", "pointercancel"]) frame.addEventListener(end, (event) => this.#up(event));
  }

  get width() { return this.image.naturalWidth || 1; }

  get height() { return this.image.naturalHeight || 1; }

  #fitScale() {
    return Math.min(this.frame.clientWidth / this.width, this.frame.clientHeight / this.height, 8);
  }

  /** All of it, in the middle. */
  fit() {
    this.scale = this.#fitScale();
    this.x = (this.frame.clientWidth - this.width * this.scale) / 2;
    this.y = (this.frame.clientHeight - this.height * this.scale) / 2;
    this.fitted = true;
    this.#draw();
  }

  /** Larger or smaller around a point of the frame, by default its middle. */
  zoomBy(factor, x = this.frame.clientWidth / 2, y = this.frame.clientHeight / 2) {
    const least = Math.min(this.#fitScale(), 1);
    const scale = Math.min(Math.max(this.scale * factor, least), MOST);
    this.x = x - (x - this.x) * (scale / this.scale);
    this.y = y - (y - this.y) * (scale / this.scale);
    this.scale = scale;
    this.fitted = false;
    this.#draw();
  }

  larger() { this.zoomBy(STEP); }

  smaller() { this.zoomBy(1 / STEP); }

  panBy(x, y) {
    this.x += x;
    this.y += y;
    this.fitted = false;
    this.#draw();
  }

  #at(event) {
    const box = this.frame.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }

  #down(event) {
    if (event.button) return;
    this.fingers.set(event.pointerId, this.#at(event));
    this.frame.setPointerCapture(event.pointerId);
    this.frame.classList.add("dragging");
  }

  #move(event) {
    const before = this.fingers.get(event.pointerId);
    if (!before) return;
    const now = this.#at(event);
    const other = [...this.fingers].find(([id]) => id !== event.pointerId)?.[1];
    if (other) {
      const apart = (point) => Math.hypot(point[0] - other[0], point[1] - other[1]) || 1;
      this.zoomBy(apart(now) / apart(before), (now[0] + other[0]) / 2, (now[1] + other[1]) / 2);
      this.panBy((now[0] - before[0]) / 2, (now[1] - before[1]) / 2);
    } else this.panBy(now[0] - before[0], now[1] - before[1]);
    this.fingers.set(event.pointerId, now);
  }

  #up(event) {
    this.fingers.delete(event.pointerId);
    if (!this.fingers.size) this.frame.classList.remove("dragging");
  }

  /** A part of the image always stays in sight. */
  #draw() {
    const keep = 40;
    const wide = this.width * this.scale, high = this.height * this.scale;
    this.x = Math.min(Math.max(this.x, keep - wide), this.frame.clientWidth - keep);
    this.y = Math.min(Math.max(this.y, keep - high), this.frame.clientHeight - keep);
    this.image.style.transform = `translate(${this.x}px, ${this.y}px) scale(${this.scale})`;
    this.frame.classList.toggle("large", this.scale >= PIXELS_SHOW);
    this.dispatchEvent(new CustomEvent("zoom", { detail: { scale: this.scale } }));
  }
}
