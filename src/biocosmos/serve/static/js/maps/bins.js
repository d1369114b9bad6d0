// @ts-check
// Places near each other as one spot with a count: cells of a grid of degrees, halved with every level.

export const FIRST = 45, LEVELS = 17; // degrees of a cell at level 0; levels
const TOUCH = 0.75; // of a cell, between two spots that are told apart

/** Spots of one level. index: by point; count, has (of those that the view has), longitude, latitude: by spot. */
export class Bins {
  constructor(longitude, latitude, level) {
    const n = longitude.length, cell = FIRST / 2 ** level;
    let room = 1024;
    let table = new Int32Array(room).fill(-1), mask = room - 1;
    const columns = [], rows = [];
    this.index = new Uint32Array(n);
    for (let i = 0; i < n; i++) {
      const column = Math.floor((longitude[i] + 180) / cell), row = Math.floor((latitude[i] + 90) / cell);
      let at = (Math.imul(column, 73856093) ^ Math.imul(row, 19349663)) & mask;
      while (table[at] >= 0 && (columns[table[at]] !== column || rows[table[at]] !== row)) at = (at + 1) & mask;
      let spot = table[at];
      if (spot < 0) {
        spot = table[at] = columns.length;
        columns.push(column);
        rows.push(row);
        if (columns.length * 1.5 > room) [table, mask, room] = regrown(columns, rows, room * 2);
      }
      this.index[i] = spot;
    }
    const spots = this.spots = columns.length;
    this.count = new Uint32Array(spots);
    this.has = new Uint32Array(spots);
    this.longitude = new Float64Array(spots);
    this.latitude = new Float64Array(spots);
    for (let i = 0; i < n; i++) {
      const spot = this.index[i];
      this.count[spot]++;
      this.longitude[spot] += longitude[i];
      this.latitude[spot] += latitude[i];
    }
    for (let spot = 0; spot < spots; spot++) { this.longitude[spot] /= this.count[spot]; this.latitude[spot] /= this.count[spot]; }
    this.#merge(columns, rows, table, mask, cell);
    this.order = Uint32Array.from(this.count.keys()).filter((spot) => this.count[spot]).sort((a, b) => this.count[b] - this.count[a]); // small ones lie on large ones
    this.shown = undefined;
  }

  /** Spots that would lie on each other become one, the larger; the other stays with nothing in it. */
  #merge(columns, rows, table, mask, cell) {
    const into = new Uint32Array(this.spots).map((_, spot) => spot), near = (cell * TOUCH) ** 2;
    const turn = 360 / cell; // columns around the globe
    const find = (given, row) => {
      const column = (given + turn) % turn;
      let at = (Math.imul(column, 73856093) ^ Math.imul(row, 19349663)) & mask;
      while (table[at] >= 0 && (columns[table[at]] !== column || rows[table[at]] !== row)) at = (at + 1) & mask;
      return table[at];
    };
    const large = Uint32Array.from(this.count.keys()).sort((a, b) => this.count[b] - this.count[a]);
    for (const spot of large) {
      if (into[spot] !== spot) continue;
      const thin = Math.max(0.05, Math.cos(this.latitude[spot] * Math.PI / 180));
      for (let right = -1; right <= 1; right++) for (let up = -1; up <= 1; up++) {
        const other = right || up ? find(columns[spot] + right, rows[spot] + up) : -1;
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
    for (let i = 0; i < this.index.length; i++) this.index[i] = into[this.index[i]];
  }

  /** Count what the view has (Uint8Array by point, null: all). */
  show(shown) {
    if (this.shown === shown) return;
    this.shown = shown;
    if (!shown) { this.has.set(this.count); return; }
    this.has.fill(0);
    for (let i = 0; i < shown.length; i++) if (shown[i]) this.has[this.index[i]]++;
  }

  /** At most `most` points of a spot, those that the view has first. */
  members(spot, most) {
    const first = [], then = [];
    for (let i = 0; i < this.index.length && first.length < most; i++) {
      if (this.index[i] !== spot) continue;
      if (!this.shown || this.shown[i]) first.push(i); else if (then.length < most) then.push(i);
    }
    return first.concat(then).slice(0, most);
  }
}

function regrown(columns, rows, room) {
  const table = new Int32Array(room).fill(-1), mask = room - 1;
  for (let spot = 0; spot < columns.length; spot++) {
    let at = (Math.imul(columns[spot], 73856093) ^ Math.imul(rows[spot], 19349663)) & mask;
    while (table[at] >= 0) at = (at + 1) & mask;
    table[at] = spot;
  }
  return [table, mask, room];
}
