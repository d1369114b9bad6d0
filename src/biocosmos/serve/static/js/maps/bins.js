// @ts-check
// Places near each other as one spot with a count: cells of a grid of degrees, halved with every level. From a level on only what
// is on the screen and around it is counted, so that it takes a blink at any number of points.

export const FIRST = 45, LEVELS = 20; // degrees of a cell at level 0; levels
const TOUCH = 0.75; // of a cell, between two spots that are told apart
const WHOLE = 4; // up to this level the whole globe is counted

/** Cells that a window of degrees [west, south, east, north] touches, as [column, row, column, row], with as much again around it;
 * null: the whole globe. */
export function cellsOf([west, south, east, north], level) {
  const cell = FIRST / 2 ** level, turn = 360 / cell;
  if (level <= WHOLE) return null;
  const [wide, high] = [east - west, north - south];
  const [left, right] = [Math.floor((west - wide + 180) / cell), Math.floor((east + wide + 180) / cell)];
  return right - left >= turn ? null : [left, Math.floor((south - high + 90) / cell), right, Math.floor((north + high + 90) / cell)];
}

/** Spots. points: those that are counted; index: the spot of each of them; count, has (of those that the view has), longitude,
 * latitude: by spot; order: spots, the largest first. */
export class Bins {
  /** longitude, latitude: of all points; cells: of :func:`cellsOf`. */
  constructor(longitude, latitude, level, cells = null) {
    Object.assign(this, { level, cells, cell: FIRST / 2 ** level, turn: 2 ** level * (360 / FIRST) });
    const columns = [], rows = [], points = new Uint32Array(longitude.length), index = new Uint32Array(longitude.length);
    const table = new Table(columns, rows);
    let n = 0;
    for (let i = 0; i < longitude.length; i++) {
      const row = Math.floor((latitude[i] + 90) / this.cell);
      if (cells && (row < cells[1] || row > cells[3])) continue;
      let column = Math.floor((longitude[i] + 180) / this.cell);
      if (cells) {
        column -= Math.ceil((column - cells[2]) / this.turn) * this.turn; // the turn of the globe that the window is on
        if (column < cells[0]) continue;
        column = ((column % this.turn) + this.turn) % this.turn;
      }
      points[n] = i;
      index[n++] = table.spot(column, row);
    }
    this.points = points.subarray(0, n);
    this.index = index.subarray(0, n);
    const spots = this.spots = columns.length;
    this.count = new Uint32Array(spots);
    this.has = new Uint32Array(spots);
    this.longitude = new Float64Array(spots);
    this.latitude = new Float64Array(spots);
    for (let at = 0; at < n; at++) {
      const spot = index[at];
      this.count[spot]++;
      this.longitude[spot] += longitude[points[at]];
      this.latitude[spot] += latitude[points[at]];
    }
    for (let spot = 0; spot < spots; spot++) { this.longitude[spot] /= this.count[spot]; this.latitude[spot] /= this.count[spot]; }
    this.#merge(table);
    this.order = this.#largest().filter((spot) => this.count[spot]);
    this.shown = undefined;
  }

  #largest() { return Uint32Array.from(this.count.keys()).sort((a, b) => this.count[b] - this.count[a]); }

  /** Spots that would lie on each other become one, the larger; the other stays with nothing in it. */
  #merge(table) {
    const into = Uint32Array.from(this.count.keys()), near = (this.cell * TOUCH) ** 2;
    for (const spot of this.#largest()) {
      if (into[spot] !== spot) continue;
      const thin = Math.max(0.05, Math.cos(this.latitude[spot] * Math.PI / 180));
      for (let right = -1; right <= 1; right++) for (let up = -1; up <= 1; up++) {
        const other = right || up ? table.find((table.columns[spot] + right + this.turn) % this.turn, table.rows[spot] + up) : -1;
        if (other < 0 || into[other] !== other || this.count[other] > this.count[spot]) continue;
        const apart = Math.abs(this.longitude[other] - this.longitude[spot]);
        const dx = Math.min(apart, 360 - apart) * thin, dy = this.latitude[other] - this.latitude[spot];
        if (dx * dx + dy * dy < near) into[other] = spot;
      }
    }
    for (let spot = 0; spot < this.spots; spot++) {
      let last = spot;
      while (into[last] !== last) last = into[last];
      into[spot] = last;
      if (last !== spot) { this.count[last] += this.count[spot]; this.count[spot] = 0; }
    }
    for (let at = 0; at < this.index.length; at++) this.index[at] = into[this.index[at]];
  }

  /** Whether these spots do for a level and a window of degrees. */
  serves(level, [west, south, east, north]) {
    if (level !== this.level) return false;
    if (!this.cells) return true;
    const [left, low, right, high] = this.cells;
    for (const turn of [-360, 0, 360]) {
      if ((west + turn + 180) / this.cell >= left && (east + turn + 180) / this.cell <= right + 1) return (south + 90) / this.cell >= low && (north + 90) / this.cell <= high + 1;
    }
    return false;
  }

  /** Count what the view has (Uint8Array by point, null: all). */
  show(shown) {
    if (this.shown === shown) return;
    this.shown = shown;
    if (!shown) { this.has.set(this.count); return; }
    this.has.fill(0);
    for (let at = 0; at < this.points.length; at++) if (shown[this.points[at]]) this.has[this.index[at]]++;
  }

  /** The points of a spot, at most `most`, those that the view has first. */
  members(spot, most = Infinity) {
    const first = [], then = [];
    for (let at = 0; at < this.index.length && first.length < most; at++) {
      if (this.index[at] !== spot) continue;
      const point = this.points[at];
      if (!this.shown || this.shown[point]) first.push(point); else if (then.length < most) then.push(point);
    }
    return first.concat(then).slice(0, most);
  }
}

/** Which spot a cell is, by an open hash table. */
class Table {
  constructor(columns, rows) {
    Object.assign(this, { columns, rows });
    this.#make(1024);
  }

  #make(room) {
    this.slots = new Int32Array(room).fill(-1);
    for (let spot = 0; spot < this.columns.length; spot++) this.slots[this.#slot(this.columns[spot], this.rows[spot])] = spot;
  }

  #slot(column, row) {
    const mask = this.slots.length - 1;
    let at = hashed(column, row) & mask;
    while (this.slots[at] >= 0 && (this.columns[this.slots[at]] !== column || this.rows[this.slots[at]] !== row)) at = (at + 1) & mask;
    return at;
  }

  find(column, row) { return this.slots[this.#slot(column, row)]; }

  spot(column, row) {
    const at = this.#slot(column, row);
    if (this.slots[at] >= 0) return this.slots[at];
    const spot = this.slots[at] = this.columns.length;
    this.columns.push(column);
    this.rows.push(row);
    if (this.columns.length * 1.5 > this.slots.length) this.#make(this.slots.length * 2);
    return spot;
  }
}

/** Cells in a row must not lie in a row in the table. */
function hashed(column, row) {
  let mixed = Math.imul(column, 0x9e3779b1) ^ Math.imul(row, 0x85ebca77);
  mixed = Math.imul(mixed ^ (mixed >>> 15), 0x2c1b3c6d);
  mixed = Math.imul(mixed ^ (mixed >>> 12), 0x297a2d39);
  return mixed ^ (mixed >>> 15);
}
