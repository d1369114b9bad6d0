// @ts-check
// Points without WebGL2: squares written into the pixels of a canvas, which a million of them do not slow down much.

export class FlatPainter {
  static of(canvas) {
    const context = canvas.getContext("2d");
    return context ? new FlatPainter(canvas, context) : null;
  }

  constructor(canvas, context) {
    Object.assign(this, { canvas, context, kind: "canvas", count: 0, lost: false, milliseconds: 0 });
  }

  restore() {}

  load(points) { this.points = points; this.count = points.x.length; }

  /** As GLPainter.paint. */
  paint(camera, look) {
    if (!this.points || !this.canvas.width || !this.canvas.height) return false;
    const began = performance.now();
    const { width, height } = this.canvas, { x, y, code, shown } = this.points;
    const image = this.context.createImageData(width, height), pixels = new Uint32Array(image.data.buffer);
    const inks = new Uint32Array(look.colours.map((colour) => ink(colour))), grey = ink(look.beside);
    const put = (i, colour, size) => {
      const left = Math.round((x[i] - camera.x) * camera.scale + width / 2 - size / 2), top = Math.round((camera.y - y[i]) * camera.scale + height / 2 - size / 2);
      for (let row = Math.max(0, top); row < Math.min(height, top + size); row++)
        for (let column = Math.max(0, left); column < Math.min(width, left + size); column++) pixels[row * width + column] = colour;
    };
    const [large, small] = [Math.max(1, Math.round(look.size)), Math.max(1, Math.round(look.besideSize))];
    if (shown) for (let i = 0; i < x.length; i++) if (!shown[i] && inks[code[i]]) put(i, grey, small);
    for (let i = 0; i < x.length; i++) if ((!shown || shown[i]) && inks[code[i]]) put(i, inks[code[i]], large);
    this.context.putImageData(image, 0, 0);
    this.milliseconds = performance.now() - began;
    return true;
  }
}

const ink = ([r, g, b, a]) => a === 0 ? 0 : (((Math.round(Math.max(a, 0.55) * 255) << 24) | (Math.round(b * 255) << 16) | (Math.round(g * 255) << 8) | Math.round(r * 255)) >>> 0);
