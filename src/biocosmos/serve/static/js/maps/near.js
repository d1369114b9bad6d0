// @ts-check
// Which point is nearest to a place: points in the cells of a uniform grid, in three typed arrays.

const SIDE = 256; // cells a side

export class Near {
  /** x, y: typed arrays of one length; bounds: [west, south, east, north] that hold them all. */
  constructor(x, y, bounds) {
    this.x = x;
    this.y = y;
    [this.west, this.south] = bounds;
    this.cell = Math.max(bounds[2] - bounds[0], bounds[3] - bounds[1], 1e-9) / SIDE;
    const starts = new Uint32Array(SIDE * SIDE + 1), cells = new Uint16Array(x.length), items = new Uint32Array(x.length);
    for (let i = 0; i < x.length; i++) { cells[i] = this.#clamp(x[i], this.west) + SIDE * this.#clamp(y[i], this.south); starts[cells[i] + 1]++; }
    for (let cell = 0; cell < SIDE * SIDE; cell++) starts[cell + 1] += starts[cell];
    const next = starts.slice();
    for (let i = 0; i < x.length; i++) items[next[cells[i]]++] = i;
    this.starts = starts;
    this.items = items;
  }

  #clamp(value, low) { return Math.min(SIDE - 1, Math.max(0, Math.floor((value - low) / this.cell))); }

  /** The nearest point to (px, py) within `radius` that `wanted(index)` likes, or -1. */
  nearest(px, py, radius, wanted = null) {
    let best = -1, least = radius * radius;
    const [left, right] = [this.#clamp(px - radius, this.west), this.#clamp(px + radius, this.west)];
    const [low, high] = [this.#clamp(py - radius, this.south), this.#clamp(py + radius, this.south)];
    for (let row = low; row <= high; row++) {
      for (let at = this.starts[row * SIDE + left]; at < this.starts[row * SIDE + right + 1]; at++) {
        const i = this.items[at], dx = this.x[i] - px, dy = this.y[i] - py, far = dx * dx + dy * dy;
        if (far <= least && (far < least || best < 0 || i < best) && (!wanted || wanted(i))) { best = i; least = far; }
      }
    }
    return best;
  }
}
