// @ts-check
// Points by WebGL2: one buffer of four uint16 a point (x, y, class, whether the view has it), in a shuffled order, so that no class
// lies over the others because it is stored last, and so that the first few thousand are a fair sample while the map moves.

const VERTEX = `#version 300 es
layout(location = 0) in vec4 point;
uniform vec4 window;
uniform vec4 colours[34];
uniform vec4 beside;
uniform vec2 size;
out vec4 ink;
void main() {
  vec4 colour = colours[int(point.z)];
  bool has = point.w > 0.5;
  ink = has ? colour : beside * step(0.001, colour.a);
  gl_Position = ink.a == 0.0 ? vec4(2.0, 2.0, 2.0, 1.0) : vec4((point.xy - window.xy) * window.zw, has ? 0.0 : 0.5, 1.0);
  gl_PointSize = has ? size.x : size.y;
}`;
const FRAGMENT = `#version 300 es
precision mediump float;
in vec4 ink;
uniform float round_;
out vec4 colour;
void main() {
  vec2 off = gl_PointCoord - 0.5;
  if (round_ > 0.5 && dot(off, off) > 0.25) discard;
  colour = vec4(ink.rgb * ink.a, ink.a);
}`;

export class GLPainter {
  static of(canvas) {
    const gl = canvas.getContext("webgl2", { antialias: false, alpha: true, depth: true, premultipliedAlpha: true, powerPreference: "high-performance" });
    return gl ? new GLPainter(canvas, gl) : null;
  }

  constructor(canvas, gl) {
    Object.assign(this, { canvas, gl, kind: "WebGL2", count: 0, room: 0, lost: false, milliseconds: 0 });
    this.#prepare();
  }

  #prepare() {
    const { gl } = this;
    const program = gl.createProgram();
    for (const [kind, source] of [[gl.VERTEX_SHADER, VERTEX], [gl.FRAGMENT_SHADER, FRAGMENT]]) {
      const shader = gl.createShader(kind);
      gl.shaderSource(shader, source);
      gl.compileShader(shader);
      gl.attachShader(program, shader);
    }
    gl.linkProgram(program);
    if (!gl.getProgramParameter(program, gl.LINK_STATUS) && !gl.isContextLost()) throw new Error(`the map cannot be drawn: ${gl.getProgramInfoLog(program)}`);
    gl.useProgram(program);
    this.places = Object.fromEntries(["window", "colours", "beside", "size", "round_"].map((name) => [name, gl.getUniformLocation(program, name)]));
    gl.bindBuffer(gl.ARRAY_BUFFER, gl.createBuffer());
    gl.enableVertexAttribArray(0);
    gl.vertexAttribPointer(0, 4, gl.UNSIGNED_SHORT, false, 8, 0);
    gl.enable(gl.BLEND);
    gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
    gl.enable(gl.DEPTH_TEST); // what the view has lies above what it has not
    gl.depthFunc(gl.LEQUAL);
    this.room = 0;
  }

  /** Begin anew after the browser took the context away. */
  restore() { this.lost = false; this.#prepare(); if (this.data) this.#upload(); }

  /** Put points into the buffer. x, y, code: Uint16Array; shown: Uint8Array or null for all. */
  load({ x, y, code, shown }) {
    const n = this.count = x.length;
    if (!this.data || this.data.length !== 4 * n) { this.data = new Uint16Array(4 * n); this.step = stride(n); }
    for (let at = 0, i = 0; at < n; at++) {
      const to = 4 * at;
      this.data[to] = x[i]; this.data[to + 1] = y[i]; this.data[to + 2] = code[i]; this.data[to + 3] = shown ? shown[i] : 1;
      i += this.step;
      if (i >= n) i -= n;
    }
    this.#upload();
  }

  #upload() {
    const { gl } = this;
    if (gl.isContextLost()) return;
    if (this.room === this.data.byteLength) gl.bufferSubData(gl.ARRAY_BUFFER, 0, this.data);
    else gl.bufferData(gl.ARRAY_BUFFER, this.data, gl.STATIC_DRAW);
    this.room = this.data.byteLength;
  }

  /** Paint. camera: {x, y, scale} (scale: device pixels a unit); look: {colours: [[r, g, b, a]], beside, size, besideSize};
   * most: points at most, a sample of all. wait: until it is painted, and measure how long that takes. */
  paint(camera, look, most = Infinity, wait = false) {
    const { gl, canvas, places } = this;
    if (gl.isContextLost()) return false;
    const began = performance.now();
    gl.viewport(0, 0, canvas.width, canvas.height);
    gl.clearColor(0, 0, 0, 0);
    gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
    gl.uniform4f(places.window, camera.x, camera.y, 2 * camera.scale / canvas.width, 2 * camera.scale / canvas.height);
    gl.uniform4fv(places.colours, new Float32Array(look.colours.flat()));
    gl.uniform4fv(places.beside, look.beside);
    gl.uniform2f(places.size, look.size, look.besideSize);
    gl.uniform1f(places.round_, look.size >= 3 ? 1 : 0);
    const count = Math.min(this.count, most);
    gl.drawArrays(gl.POINTS, 0, count);
    if (wait) {
      gl.readPixels(0, 0, 1, 1, gl.RGBA, gl.UNSIGNED_BYTE, new Uint8Array(4));
      if (count) this.milliseconds = (performance.now() - began) * (this.count / count);
    }
    return true;
  }
}

/** A step through n points that meets each once and jumps about: near n / golden ratio, without a common factor. */
function stride(n) {
  const common = (a, b) => { while (b) [a, b] = [b, a % b]; return a; };
  let step = Math.max(1, Math.round(n * 0.6180339887));
  while (common(step, n) !== 1 && step < n) step++;
  return Math.min(step, n);
}
