// A grid without an end: pages of tiles are fetched as they come near, and tiles that are far away are taken out of the document,
// with their height kept, so that the millionth is as smooth as the first.
import { piece } from "./fragment.js";

const AROUND = 2; // heights of the window above and below it in which tiles are kept in the document
const KEPT = 12; // pages on either side of these whose tiles are kept aside; farther ones are fetched again

const ghost = () => {
  const item = document.createElement("li");
  item.className = "ghost";
  item.setAttribute("aria-hidden", "true");
  return item;
};

const spacer = () => {
  const item = document.createElement("div");
  item.className = "spacer";
  return item;
};

/** Tiles that stay where they are get the names of fresh ones: the view may have shrunk or grown since, and the focus stays. */
function refresh(tiles, fresh) {
  const found = new Map(fresh.map((tile) => [tile.dataset.id, tile]));
  for (const tile of tiles) {
    const now = found.get(tile.dataset.id);
    if (!now) continue;
    for (const part of [".name", ".mark"]) if (tile.querySelector(part).textContent !== now.querySelector(part).textContent) tile.querySelector(part).replaceWith(now.querySelector(part));
    tile.querySelector(".pick").setAttribute("aria-label", now.querySelector(".pick").getAttribute("aria-label"));
  }
}

export class EndlessGrid {
  /** list: <ul class="grid">; more(count): called with the number of tiles that are known, and whether these are all. */
  constructor(list, { more = () => {} } = {}) {
    this.list = list;
    this.tell = more;
    this.above = spacer();
    this.below = spacer();
    list.before(this.above);
    list.after(this.below);
    this.pages = [];
    this.frame = 0;
    this.asking = new AbortController();
    const draw = () => { this.frame ||= requestAnimationFrame(() => { this.frame = 0; this.draw(); }); };
    addEventListener("scroll", draw, { passive: true });
    new ResizeObserver(() => { this.measured = 0; draw(); }).observe(list.parentElement);
  }

  /** Begin with the tiles that are in the list. query: of the view; size: tiles of a page. */
  begin(query, size, isMore) {
    this.asking.abort();
    this.asking = new AbortController();
    const tiles = [...this.list.querySelectorAll(".tile")];
    Object.assign(this, { query, size, done: !isMore, pages: [], measured: 0, shown: "", waiting: null });
    if (tiles.length) this.pages.push({ after: null, tiles, ids: tiles.map((tile) => tile.dataset.id) });
    this.list.replaceChildren(...tiles);
    this.draw();
  }

  /** How many tiles are known so far. */
  get count() { return this.pages.length ? (this.pages.length - 1) * this.size + this.pages.at(-1).ids.length : 0; }

  /** Ids from one to another in the order of the view, as far as they are known. */
  between(from, to) {
    const ids = this.pages.flatMap((page) => page.ids);
    const [start, stop] = [ids.indexOf(from), ids.indexOf(to)].sort((a, b) => a - b);
    return start < 0 ? [to] : ids.slice(start, stop + 1);
  }

  /** Fetch what is shown again, as after an undo. */
  async renew() {
    for (const page of this.pages) page.stale = true;
    this.shown = "";
    this.draw();
  }

  /** Go to a tile that may be far down. at: its place in the view of `total`; ends: the last ids of the full pages before it. */
  async goTo(id, at, total, ends) {
    while (this.pages.length <= ends.length) {
      const number = this.pages.length;
      this.pages.push({ after: ends[number - 1], tiles: null, ids: new Array(Math.min(this.size, total - number * this.size)).fill(null) });
    }
    this.done = this.count >= total;
    this.shown = "";
    this.draw();
    if (!this.row) return;
    const top = this.above.getBoundingClientRect().top + scrollY;
    scrollTo(0, Math.max(0, top + Math.floor(at / this.columns) * this.row - innerHeight / 3));
    this.draw();
    const { signal } = this.asking;
    for (const until = performance.now() + 8000; performance.now() < until && !signal.aborted;) {
      const tile = [...this.list.querySelectorAll(".tile")].find((each) => each.dataset.id === id);
      if (tile) { tile.querySelector(".pick")?.focus({ preventScroll: true }); return; }
      await new Promise((resolve) => { setTimeout(resolve, 60); });
    }
  }

  draw() {
    if (!this.pages.length || this.list.offsetParent === null) return;
    this.#measure();
    const { columns, row } = this;
    if (!row) return;
    const top = this.above.getBoundingClientRect().top;
    const first = Math.max(0, Math.floor((-top - AROUND * innerHeight) / row));
    const last = Math.max(first + 1, Math.ceil((-top + (1 + AROUND) * innerHeight) / row));
    const start = Math.min(first * columns, Math.floor((this.count - 1) / columns) * columns);
    const stop = Math.min(last * columns, this.count);
    this.#fetch(start, stop, last * columns);
    const shown = `${start}-${stop}-${columns}-${row}-${this.pages.length}`;
    if (shown === this.shown) return;
    this.shown = shown;
    this.#place(start, stop);
    this.above.style.height = `${(start / columns) * row}px`;
    this.below.style.height = `${(Math.ceil(this.count / columns) - Math.ceil(stop / columns)) * row}px`;
  }

  #measure() {
    if (this.measured === innerWidth) return;
    const tile = this.list.querySelector(".tile");
    if (!tile) return;
    this.list.style.gridAutoRows = "auto";
    const style = getComputedStyle(this.list);
    const gap = Number.parseFloat(style.rowGap) || 0;
    this.columns = Math.max(1, style.gridTemplateColumns.split(" ").length);
    const height = Math.ceil(Math.max(...[...this.list.querySelectorAll(".tile")].slice(0, this.columns * 2).map((each) => each.getBoundingClientRect().height)));
    this.row = height + gap;
    this.list.style.gridAutoRows = "";
    this.list.style.setProperty("--row", `${height}px`);
    this.measured = innerWidth;
    this.shown = "";
  }

  #tiles(start, stop) {
    const found = [];
    for (let at = start; at < stop; at = (Math.floor(at / this.size) + 1) * this.size) {
      const page = this.pages[Math.floor(at / this.size)];
      const from = at % this.size, to = Math.min(page.ids.length, from + stop - at);
      page.ghosts = page.tiles ? null : page.ghosts ?? page.ids.map(ghost);
      found.push(...(page.tiles ?? page.ghosts).slice(from, to));
    }
    return found;
  }

  #place(start, stop) {
    const wanted = this.#tiles(start, stop), keep = new Set(wanted);
    for (const item of [...this.list.children]) if (!keep.has(item)) item.remove();
    let next = this.list.firstChild;
    for (const item of wanted) {
      if (item === next) next = next.nextSibling;
      else this.list.insertBefore(item, next);
    }
  }

  #fetch(start, stop, until) {
    const first = Math.floor(start / this.size), last = Math.floor(Math.max(start, stop - 1) / this.size);
    this.pages.forEach((page, at) => { if (page.tiles && (at < first - KEPT || at > last + KEPT)) page.tiles = null; });
    if (this.waiting) return;
    const missing = this.pages.findIndex((page, at) => at >= first && at <= last && (!page.tiles || page.stale));
    if (missing >= 0) this.#ask(missing);
    else if (!this.done && until > this.count) this.#ask(this.pages.length);
  }

  async #ask(at) {
    const known = this.pages[at], { signal } = this.asking;
    const after = known ? known.after : this.pages.at(-1).ids.at(-1);
    const query = [this.query, after === null ? "" : `after=${encodeURIComponent(after)}`, `count=${known ? known.ids.length : this.size}`];
    this.waiting = at + 1;
    const got = await piece(`/explore/tiles?${query.filter(Boolean).join("&")}`, { signal });
    if (signal.aborted) return;
    this.waiting = null;
    if (!got) { this.done ||= !known; if (known) known.stale = false; return; }
    const tiles = [...got.body.querySelectorAll(".tile")].map((tile) => document.adoptNode(tile));
    if (known?.stale && known.tiles) { refresh(known.tiles, tiles); known.stale = false; }
    else if (known && tiles.length === known.ids.length) Object.assign(known, { tiles, ids: tiles.map((tile) => tile.dataset.id), stale: false, ghosts: null });
    else if (known) Object.assign(known, { tiles: known.tiles ?? known.ghosts, stale: false }); // the view has shrunk: what is shown stays
    else {
      if (tiles.length) this.pages.push({ after, tiles, ids: tiles.map((tile) => tile.dataset.id) });
      this.done = got.headers.get("X-More") !== "1" || tiles.length < this.size;
    }
    this.shown = "";
    this.tell(this.count, this.done);
    this.draw();
  }
}
