// @ts-check
// When the specimens were found: bars of equal steps of time, of which a stretch is chosen by dragging or by two sliders.
import { getJSON } from "../api.js";

const SVG = "http://www.w3.org/2000/svg", number = new Intl.NumberFormat("en");

/** Sends "dates" {dates: [from, to] or null}. */
export class TimeBar extends EventTarget {
  constructor(root, view) {
    super();
    Object.assign(this, { root, view, steps: [], asked: 0 });
    const part = (name) => root.querySelector(`[data-part="${name}"]`);
    [this.bars, this.says, this.from, this.to, this.whole] = ["bars", "says", "from", "to", "whole"].map(part);
    for (const slider of [this.from, this.to]) {
      slider.addEventListener("input", () => this.#draw());
      slider.addEventListener("change", () => this.#choose());
    }
    this.whole.addEventListener("click", () => this.dispatchEvent(new CustomEvent("dates", { detail: { dates: null } })));
    let began = null;
    const step = (event) => Math.min(this.steps.length - 1, Math.max(0, Math.floor((event.clientX - this.bars.getBoundingClientRect().left) / this.bars.clientWidth * this.steps.length)));
    const reach = (event) => { const now = step(event); this.from.value = String(Math.min(began, now)); this.to.value = String(Math.max(began, now)); this.#draw(); };
    this.bars.addEventListener("pointerdown", (event) => { if (event.button) return; began = step(event); this.bars.setPointerCapture(event.pointerId); reach(event); });
    this.bars.addEventListener("pointermove", (event) => { if (began !== null) reach(event); });
    this.bars.addEventListener("pointerup", () => { if (began !== null) { began = null; this.#choose(); } });
    this.bars.addEventListener("pointercancel", () => { began = null; this.#place(); });
    view.addEventListener("view", () => this.refresh());
  }

  /** Fetch the bars of the view. */
  async refresh() {
    const mine = ++this.asked;
    const times = await getJSON(this.view.at("/api/places/times")).catch(() => null);
    if (!times || mine !== this.asked) return;
    this.times = times;
    this.steps = times.steps;
    this.root.hidden = !this.steps.length;
    for (const slider of [this.from, this.to]) slider.max = String(Math.max(0, this.steps.length - 1));
    this.#place();
  }

  /** The sliders to the dates of the view. */
  #place() {
    const [from, to] = this.times.dates, last = this.steps.length - 1;
    const first = from ? this.steps.findIndex((step) => ends(step.to) >= begins(from)) : 0;
    let until = last;
    if (to) { until = -1; this.steps.forEach((step, i) => { if (begins(step.from) <= ends(to)) until = i; }); }
    this.from.value = String(first < 0 ? last : first);
    this.to.value = String(Math.max(until, 0));
    this.#draw();
  }

  #span() { const ends_ = [Number(this.from.value), Number(this.to.value)].sort((a, b) => a - b); return ends_; }

  #choose() {
    const [first, last] = this.#span(), all = first === 0 && last === this.steps.length - 1;
    this.dispatchEvent(new CustomEvent("dates", { detail: { dates: all ? null : [this.steps[first].from, this.steps[last].to] } }));
  }

  #draw() {
    const [first, last] = this.#span(), count = this.steps.length, high = Math.max(1, ...this.steps.map((step) => step.all));
    if (!count) return;
    const tall = (value) => (value ? Math.max(2.5, Math.sqrt(value / high) * 100) : 0); // roots, so that a few are seen beside many
    const parts = this.steps.flatMap((step, i) => [["all", step.all], ["view", step.view]].map(([kind, value]) => {
      const bar = document.createElementNS(SVG, "rect");
      for (const [name, each] of Object.entries({ x: i, y: 100 - tall(value), width: 0.86, height: tall(value), class: `${kind}${i >= first && i <= last ? "" : " out"}` })) bar.setAttribute(name, String(each));
      return bar;
    }));
    this.bars.setAttribute("viewBox", `0 0 ${count} 100`);
    this.bars.replaceChildren(...parts);
    const chosen = this.steps.slice(first, last + 1).reduce((sum, step) => sum + step.view, 0);
    const span = this.steps[first].from === this.steps[last].to ? this.steps[first].from : `${this.steps[first].from} – ${this.steps[last].to}`;
    for (const [slider, name] of [[this.from, this.steps[Number(this.from.value)].from], [this.to, this.steps[Number(this.to.value)].to]]) slider.setAttribute("aria-valuetext", name);
    const { undated, vague, unit } = this.times, besides = [];
    if (undated) besides.push(`${number.format(undated)} undated`);
    if (vague) besides.push(`${number.format(vague)} dated less exactly than a ${unit}`);
    this.says.textContent = [span, `${number.format(chosen)} dated specimens`, ...besides].join(" · ");
    this.whole.hidden = !this.times.dates.some(Boolean);
  }
}

/** Texts of dates that compare as they follow one another. */
const begins = (text) => `${text}-01-01`.slice(0, 10);
const ends = (text) => `${text}-12-31`.slice(0, 10);
