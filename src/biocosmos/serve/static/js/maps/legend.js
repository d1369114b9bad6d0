// @ts-check
// What the colours mean: a button a class that hides it or brings it back, or a ramp of a number.
import { colourOf, STEPS } from "./palette.js";

const number = new Intl.NumberFormat("en");

/** Sends "classes" when classes are hidden or shown. */
export class Legend extends EventTarget {
  constructor(box) {
    super();
    this.box = box;
    this.hidden = new Set();
    box.addEventListener("click", (event) => {
      const button = event.target.closest("button");
      if (!button) return;
      if (button.dataset.all != null) this.hidden.clear();
      else this.#toggle(Number(button.dataset.code), event.shiftKey);
      this.#mark();
      this.dispatchEvent(new Event("classes"));
    });
  }

  #toggle(code, alone) {
    if (alone) {
      const others = this.header.legend.map((entry) => entry.code).filter((each) => each !== code);
      const isAlone = others.every((each) => this.hidden.has(each)) && !this.hidden.has(code);
      this.hidden = new Set(isAlone ? [] : others);
    } else if (!this.hidden.delete(code)) this.hidden.add(code);
  }

  /** header: of a message of colours. */
  show(header) {
    if (header.by !== this.header?.by) this.hidden.clear();
    this.header = header;
    const parts = header.kind === "steps" ? [this.#ramp(header)] : [];
    const list = document.createElement("ul");
    list.append(...header.legend.map((entry) => this.#entry(entry)));
    const all = document.createElement("button");
    Object.assign(all, { type: "button", className: "quiet", textContent: "Show all" });
    all.dataset.all = "";
    all.dataset.test = "legend-all";
    this.box.replaceChildren(...parts, list, all);
    this.#mark();
  }

  /** Colours by code for the scatter: null where a class is hidden. */
  colours(rgb) {
    const codes = this.header.kind === "steps" ? STEPS + 1 : 22;
    return Array.from({ length: codes }, (_, code) => (this.hidden.has(code) ? null : rgb(colourOf(this.header.kind, code))));
  }

  /** Paint the swatches anew, as after light turned dark. */
  paint() {
    for (const swatch of this.box.querySelectorAll(".swatch")) swatch.style.background = colourOf(this.header.kind, Number(swatch.dataset.code));
  }

  #entry({ code, name, count }) {
    const item = document.createElement("li"), button = document.createElement("button");
    button.type = "button";
    button.dataset.code = code;
    button.dataset.test = "legend-class";
    button.title = "Click hides or shows it; with Shift: this alone";
    const swatch = document.createElement("span"), words = document.createElement("span"), amount = document.createElement("span");
    swatch.className = "swatch";
    swatch.dataset.code = code;
    words.className = "class-name";
    words.textContent = name;
    amount.className = "faint";
    amount.textContent = number.format(count);
    button.append(swatch, words, amount);
    item.append(button);
    return item;
  }

  #ramp({ low, high }) {
    const box = document.createElement("div"), bar = document.createElement("div"), ends = document.createElement("div");
    bar.className = "ramp";
    for (let code = 0; code < STEPS; code++) {
      const part = document.createElement("span");
      part.className = "swatch";
      part.dataset.code = code;
      bar.append(part);
    }
    ends.className = "ramp-ends";
    for (const value of [low, high]) {
      const end = document.createElement("span");
      end.textContent = Number(value).toPrecision(3);
      ends.append(end);
    }
    box.append(bar, ends);
    return box;
  }

  #mark() {
    for (const button of this.box.querySelectorAll("button[data-code]")) button.setAttribute("aria-pressed", String(!this.hidden.has(Number(button.dataset.code))));
    const all = this.box.querySelector("[data-all]");
    if (all) all.hidden = !this.hidden.size;
    this.paint();
  }
}
