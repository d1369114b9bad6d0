// @ts-check
// The land of the world as paths of a canvas, x = longitude, y = latitude: fine, and coarse for when all of it is seen.

const GRID = 0.35; // degrees, of the coarse one

/** Fetch static/vendor/coastline/land-50m.bin (see tools/make_coastline.py). */
export async function fetchCoast(address) {
  const response = await fetch(address);
  if (!response.ok) return null;
  const buffer = await response.arrayBuffer(), view = new DataView(buffer), rings = view.getUint32(0, true);
  const fine = new Path2D(), coarse = new Path2D();
  let at = 4 + 4 * rings;
  for (let ring = 0; ring < rings; ring++) {
    const points = view.getUint32(4 + 4 * ring, true);
    let last = null, kept = 0;
    for (let i = 0; i < points; i++, at += 4) {
      const x = view.getUint16(at, true) / 65535 * 360 - 180, y = view.getUint16(at + 2, true) / 65535 * 180 - 90;
      if (i) fine.lineTo(x, y); else fine.moveTo(x, y);
      if (last && Math.abs(x - last[0]) < GRID && Math.abs(y - last[1]) < GRID) continue;
      if (kept++) coarse.lineTo(x, y); else coarse.moveTo(x, y);
      last = [x, y];
    }
    fine.closePath();
    coarse.closePath();
  }
  return { fine, coarse };
}
