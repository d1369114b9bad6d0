// @ts-check
// What is being drawn on a map, and the lasso or box of the view, as lines over it.

const SVG = "http://www.w3.org/2000/svg";

export class Outline {
  constructor(svg) {
    this.svg = svg;
    [this.kept, this.drawn] = ["kept", "drawn"].map((name) => {
      const polygon = document.createElementNS(SVG, "polygon");
      polygon.setAttribute("class", name);
      polygon.dataset.test = `outline-${name}`;
      svg.append(polygon);
      return polygon;
    });
  }

  /** points: [[px, py]] or null; name: "kept" (of the view) or "drawn" (with the pointer). */
  show(name, points) {
    this[name].setAttribute("points", (points ?? []).map(([x, y]) => `${x.toFixed(1)},${y.toFixed(1)}`).join(" "));
  }
}

/** A path drawn by hand with fewer corners: those that lie more than `off` from the line between their neighbours (Douglas & Peucker 1973). */
export function simplified(path, off = 1.5) {
  if (path.length < 4) return path;
  const keep = new Uint8Array(path.length), spans = [[0, path.length - 1]];
  keep[0] = keep[path.length - 1] = 1;
  while (spans.length) {
    const [a, b] = spans.pop(), [ax, ay] = path[a], dx = path[b][0] - ax, dy = path[b][1] - ay, length = Math.hypot(dx, dy);
    let far = off, at = -1;
    for (let i = a + 1; i < b; i++) {
      const [x, y] = path[i], away = length ? Math.abs(dx * (y - ay) - dy * (x - ax)) / length : Math.hypot(x - ax, y - ay);
      if (away > far) { far = away; at = i; }
    }
    if (at > 0) { keep[at] = 1; spans.push([a, at], [at, b]); }
  }
  return path.filter((_, i) => keep[i]);
}
